//! Signs a bundle: rewrites its header, and not one byte behind it.
//!
//! A power loss while the header is rewritten would leave half of it, so the new one is written beside the bundle first
//! (`NAME.header`), and written again from there when the next call finds it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;
use sealock_trust::tuf::{self, MakeError, MetadataSet, Terms, TrustError};
use sealock_trust::{Digest, KeyId, Signer};

use crate::archive::layout::MetadataFiles;
use crate::archive::{Archive, ArchiveError, IoContext, sync_folder_of};
use crate::manifest::Manifest;

/// Why a bundle cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignBundleError {
    /// The file is no whole bundle, or cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The metadata that the bundle has cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A signature could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

impl SignBundleError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Archive(source) => source.code(),
            Self::Trust(source) => Some(source.code()),
            Self::Make(MakeError::OtherContent(_)) => Some(Code::Subject),
            Self::Make(_) => None,
        }
    }

    /// Whether the file or the keys are not fit, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Archive(source) => source.is_refusal(),
            Self::Trust(source) => source.is_refusal(),
            Self::Make(source) => source.is_refusal(),
        }
    }
}

/// A bundle that carries signatures; whether they suffice is for [`crate::verify`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBundle {
    /// The digest of `manifest.json`.
    pub manifest: Digest,
    /// The keys that have signed it so far.
    pub signers: Vec<KeyId>,
}

/// Adds the signatures of `signers` to the bundle `path`; `roots` is the root chain, oldest first, that travels with it.
///
/// Signatures that were made under the same root chain stay.
///
/// # Errors
/// When the file is not a whole bundle, a signer is not a publisher of the newest root, or the header cannot be written.
pub fn sign(path: &Path, roots: &[Vec<u8>], signers: &[&dyn Signer]) -> Result<SignedBundle, SignBundleError> {
    finish_interrupted(path)?;
    let archive = Archive::open(path)?;
    let manifest = archive.unverified_manifest()?;
    archive.check_frame(&manifest)?;
    let set = signed_set(&archive, &manifest, roots, signers)?;
    let files: MetadataFiles = set.files().into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    let header = archive.header_with(&files, &manifest)?;
    replace_header(path, &header)?;
    Ok(SignedBundle { manifest: archive.manifest_digest(), signers: set.claimed_signers()? })
}

fn signed_set(
    archive: &Archive,
    manifest: &Manifest,
    roots: &[Vec<u8>],
    signers: &[&dyn Signer],
) -> Result<MetadataSet, SignBundleError> {
    let terms = Terms { sequence: manifest.sequence, issued: manifest.issued, expires: manifest.expires };
    if !archive.metadata().is_empty() {
        let mut set = MetadataSet::from_files(archive.metadata().iter().cloned())?;
        if roots.is_empty() || set.roots.values().eq(roots) {
            set.check_content(archive.manifest_bytes(), &terms)?;
            set.add_signatures(signers)?;
            return Ok(set);
        }
    }
    Ok(tuf::sign_manifest(roots, archive.manifest_bytes(), &terms, signers)?)
}

fn replace_header(path: &Path, header: &[u8]) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    let temporary = path.with_file_name(with_suffix(path, ".header.new"));
    fs::write(&temporary, header).during("write", &temporary)?;
    File::open(&temporary).and_then(|file| file.sync_all()).during("sync", &temporary)?;
    fs::rename(&temporary, &copy).during("rename to", &copy)?;
    sync_folder_of(path)?;
    write_header(path, header)?;
    fs::remove_file(&copy).during("remove", &copy)
}

fn write_header(path: &Path, header: &[u8]) -> Result<(), ArchiveError> {
    let file = OpenOptions::new().write(true).open(path).during("open", path)?;
    file.write_all_at(header, 0).and_then(|()| file.sync_all()).during("write", path)
}

/// A complete copy beside the bundle means that the header may be half written.
fn finish_interrupted(path: &Path) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    let header = match fs::read(&copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.during("read", &copy)?,
    };
    write_header(path, &header)?;
    fs::remove_file(&copy).during("remove", &copy)
}

/// Removes the copy that an interrupted signing of `path` has left, if there is one.
pub(crate) fn forget_interrupted(path: &Path) -> Result<(), ArchiveError> {
    let copy = copy_path(path);
    match fs::remove_file(&copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.during("remove", &copy),
    }
}

fn copy_path(path: &Path) -> PathBuf {
    path.with_file_name(with_suffix(path, ".header"))
}

fn with_suffix(path: &Path, suffix: &str) -> std::ffi::OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    name
}
