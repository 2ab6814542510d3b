//! `sealock trust export`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_bundle::sign::{self, Requested};
use sealock_trust::request::{SigningRequest, Tally};
use sealock_trust::{Digest, KeyId, RoleName};
use serde::Serialize;

use super::describe;
use super::target::{self, Kind};
use super::vendors::request_path as request_path_of;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::{self, KeyName, KeyPlace, Passphrases};

/// Write what goes out to other keyholders: a signing request, or the public half of a key
///
/// From a bundle or a root draft comes a signing request: it carries all that a signer needs to see, and nothing secret. Of a
/// bundle each vendor who has yet to sign gets one of its own beside it, NAME.VENDOR.request.json.
/// Two exports of the same thing are the same file, whoever has signed meanwhile. From a private key comes its public half.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A bundle, a root draft, or a private key: a file or `pkcs11:` URI
    source: PathBuf,
    /// The trust roots of a bundle that has none yet, oldest first [default: trust/root.json and its successors beside it]
    #[arg(long = "root", value_name = "FILE")]
    roots: Vec<PathBuf>,
    /// The file to write [default: NAME.request.json or NAME.pub.pem beside the source]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// File whose first line is the passphrase of the key, or the PIN of the token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    /// The digest of the request, to be compared by voice.
    request: Digest,
    roles: Vec<Tally>,
    /// What goes to the vendors who have yet to sign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vendors: Vec<VendorRequest>,
}

/// A request that goes to a vendor.
#[derive(Serialize)]
pub struct VendorRequest {
    pub vendor: RoleName,
    pub file: PathBuf,
    /// The digest of the request, to be compared by voice.
    pub request: Digest,
}

#[derive(Serialize)]
struct ExportedKey {
    file: PathBuf,
    keyid: KeyId,
    scheme: String,
}

pub fn run(args: &ExportArgs, context: &Context) -> Result<()> {
    match target::kind(&args.source)? {
        Kind::Bundle => {
            let roots = target::bundle_roots(&args.source, &args.roots)?;
            let requests = sign::requests(&args.source, &roots)?;
            let Requested { request, tally } = &requests.publisher;
            export(args, (request, tally.clone()), &requests.vendors, context)
        }
        Kind::Draft => {
            let draft = target::read_draft(&args.source)?;
            export(args, (draft.request(), draft.tally()?), &[], context)
        }
        Kind::Key => export_key(args, context),
        Kind::Request | Kind::Signature | Kind::Json => {
            let problem = format!("{} is neither a bundle nor a root draft nor a key", args.source.display());
            Err(CommandError::usage(problem))
        }
    }
}

fn export(
    args: &ExportArgs,
    (request, roles): (&SigningRequest, Vec<Tally>),
    vendors: &[(RoleName, Requested)],
    context: &Context,
) -> Result<()> {
    let file = args.to.clone().unwrap_or_else(|| request_path(&args.source));
    let vendors = if context.dry_run { Vec::new() } else { write_vendor_requests(vendors, &args.source)? };
    if !context.dry_run {
        write_request(request, &file)?;
    }
    let tally = describe::tally_text(&roles);
    let exported = Exported { file, request: request.digest().clone(), roles, vendors };
    let mut text = format!(
        "{tally}\nrequest  {}\ndigest   {}\n\nEach keyholder: sealock trust sign {} --key KEY",
        exported.file.display(),
        exported.request,
        file_name(&exported.file),
    );
    for VendorRequest { vendor, file, request } in &exported.vendors {
        let (path, name) = (file.display(), file_name(file));
        let _ = write!(
            text,
            "\n\nrequest  {path}\ndigest   {request}\n\nThe vendor {vendor}: sealock trust sign {name} --key KEY"
        );
    }
    context.ui.result(&exported, text)
}

/// Writes a request for each vendor whose signatures do not suffice yet, beside the bundle at `source`.
///
/// # Errors
/// One cannot be written.
pub fn write_vendor_requests(vendors: &[(RoleName, Requested)], source: &Path) -> Result<Vec<VendorRequest>> {
    let missing = vendors.iter().filter(|(_, requested)| !describe::is_met(&requested.tally));
    let write = |(vendor, requested): &(RoleName, Requested)| {
        let file = request_path_of(source, vendor);
        write_request(&requested.request, &file)?;
        Ok(VendorRequest { vendor: vendor.clone(), file, request: requested.request.digest().clone() })
    };
    missing.map(write).collect()
}

/// Writes the request beside what it is about.
///
/// # Errors
/// It cannot be written.
pub fn write_request(request: &SigningRequest, file: &Path) -> Result<()> {
    target::write_again(file, &request.to_bytes()?, Kind::Request)
}

/// `plant-7.tar` → `plant-7.request.json`, `root.draft.json` → `root.request.json`.
pub fn request_path(source: &Path) -> PathBuf {
    target::with_ending(source, &[".draft.json", ".tar"], ".request.json")
}

/// The name as it is typed where the file has been carried to.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn export_key(args: &ExportArgs, context: &Context) -> Result<()> {
    let name = KeyName::from(args.source.as_path());
    let usual = match name.place()? {
        KeyPlace::File(path) if keys::is_public(&files::read_text(&path)?) => {
            return Err(CommandError::usage(format!("{} is a public key already", path.display())));
        }
        KeyPlace::Token(uri) if name.is_uri() => file_name_for(uri.key.label.as_deref().unwrap_or_default()),
        KeyPlace::File(_) | KeyPlace::Token(_) => target::with_ending(&args.source, &[".pem", ".uri"], ".pub.pem"),
    };
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let key = keys::public_key(&name, &passphrases)?;
    let file = args.to.clone().unwrap_or(usual);
    let pem = key.to_pem()?;
    if !context.dry_run && (!file.exists() || files::read_text(&file)? != pem) {
        files::create(&file, pem.as_bytes(), 0o644)?;
    }
    let text = format!("{}\n{}  {}", file.display(), describe::grouped(key.id().as_str()), key.scheme());
    context.ui.result(&ExportedKey { file, keyid: key.id().clone(), scheme: key.scheme().to_owned() }, text)
}

/// A file for the public half of a key with this label.
fn file_name_for(label: &str) -> PathBuf {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let stem: String = label.chars().map(legal).take(64).collect();
    PathBuf::from(format!("{}.pub.pem", if stem.is_empty() { "token" } else { &stem }))
}
