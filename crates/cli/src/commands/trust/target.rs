//! What `trust sign`, `trust export` and `trust show` are pointed at, told apart by its first bytes.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sealock_trust::request::{LIMITS, RootDraft, SigningRequest};
use sealock_trust::signer::URI_PREFIX;

use crate::commands::source;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::KeyName;

/// No root, key or signature file is near this long.
pub const MAX_DOCUMENT: u64 = 1 << 20;

/// How our own files begin: canonical JSON puts `format` first.
const REQUEST: &[u8] = b"{\"format\":\"signing-request/";
const DRAFT: &[u8] = b"{\"format\":\"root-draft/";
const SIGNATURE: &[u8] = b"{\"format\":\"signature/";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Draft,
    Signature,
    /// Something else that begins like JSON: a root.
    Json,
    /// A key, or the name of one in a token.
    Key,
    Bundle,
}

/// Tells what the file at `path` is, without believing it.
///
/// # Errors
/// It cannot be read.
pub fn kind(path: &Path) -> Result<Kind> {
    if KeyName::from(path).is_uri() {
        return Ok(Kind::Key);
    }
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("reading {}", path.display()));
    let mut head = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(64).read_to_end(&mut head).map_err(failed)?;
    Ok(match head.as_slice() {
        head if head.starts_with(REQUEST) => Kind::Request,
        head if head.starts_with(DRAFT) => Kind::Draft,
        head if head.starts_with(SIGNATURE) => Kind::Signature,
        head if head.starts_with(b"{") => Kind::Json,
        head if head.starts_with(b"-----BEGIN ") || head.starts_with(URI_PREFIX.as_bytes()) => Kind::Key,
        _ => Kind::Bundle,
    })
}

/// Reads the signing request at `path`.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_request(path: &Path) -> Result<SigningRequest> {
    let bytes = files::read(path, LIMITS.bytes as u64)?;
    SigningRequest::from_bytes(&bytes).map_err(|error| CommandError::from(error).context(path.display().to_string()))
}

/// Reads the root draft at `path`.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_draft(path: &Path) -> Result<RootDraft> {
    let bytes = files::read(path, 2 * MAX_DOCUMENT)?;
    RootDraft::from_bytes(&bytes).map_err(|error| CommandError::from(error).context(path.display().to_string()))
}

/// The roots under which the bundle at `path` is signed: the given ones, else its own, else the chain beside it.
///
/// # Errors
/// There are none.
pub fn bundle_roots(path: &Path, given: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    if given.is_empty() && !source::open(path)?.metadata().is_empty() {
        return Ok(Vec::new());
    }
    let chain = match given {
        [] => root_chain(path.parent().unwrap_or(Path::new(""))),
        given => given.to_vec(),
    };
    if chain.is_empty() {
        let problem = format!("{} carries no root yet, and there is no trust/root.json beside it", path.display());
        return Err(
            CommandError::usage(problem).hint("Give every root since the first with --root FILE, oldest first.")
        );
    }
    chain.iter().map(|path| files::read(path, MAX_DOCUMENT)).collect()
}

/// The publisher's roots in `folder`, oldest first: `trust/root.json`, then `trust/2.root.json` and so on.
pub fn root_chain(folder: &Path) -> Vec<PathBuf> {
    let first = folder.join("trust/root.json");
    if !first.exists() {
        return Vec::new();
    }
    let later = (2_u64..).map(|version| folder.join(format!("trust/{version}.root.json")));
    std::iter::once(first).chain(later.take_while(|path| path.exists())).collect()
}

/// Writes a file that can be made again from what it was made from. One of another kind is left alone.
///
/// # Errors
/// There is something else at `path`, or it cannot be written.
pub fn write_again(path: &Path, bytes: &[u8], kind_of_file: Kind) -> Result<()> {
    if path.exists() && kind(path)? != kind_of_file {
        return Err(CommandError::failed(format!("{} is there already, and is something else", path.display()))
            .hint("Write another file with --to FILE."));
    }
    files::replace(path, bytes)
}

/// `path` with the last of `endings` that it has replaced by `ending`.
pub fn with_ending(path: &Path, endings: &[&str], ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    path.with_file_name(format!("{stem}{ending}"))
}
