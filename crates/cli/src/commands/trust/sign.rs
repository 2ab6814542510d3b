//! `sealock trust sign`

use std::path::{Path, PathBuf};

use sealock_bundle::sign::{self, Requested};
use sealock_trust::request::{Merged, SignatureFile, SigningRequest, Tally};
use sealock_trust::{Digest, KeyId};
use serde::Serialize;
use serde_json::Value;

use super::finish::{self, Finished};
use super::target::{self, Kind};
use super::{describe, export, vendors};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::{self, Key, KeyName, Passphrases};

/// Sign a request, or put signatures together
///
/// With a signing request and a key it shows what is to be signed, asks, and writes a signature file. With a bundle or a
/// root draft it adds signature files that came back (`--add`) or signs at once (`--key`), and says who is missing: of a
/// bundle the publisher, and each vendor whom names are delegated to.
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// A signing request, a bundle, or a root draft
    target: PathBuf,
    /// Private keys to sign with: files or `pkcs11:` URIs
    #[arg(short, long = "key", value_name = "KEY")]
    keys: Vec<KeyName>,
    /// Signature files to add to a bundle or a root draft
    #[arg(long = "add", value_name = "FILE", num_args = 1..)]
    add: Vec<PathBuf>,
    /// The root in force as you know it: another one in the request is refused. For an unsigned bundle its roots, oldest first
    #[arg(long = "root", value_name = "FILE")]
    roots: Vec<PathBuf>,
    /// The file to write: of a request the signature [default: NAME.KEY.signature.json], of a draft the finished root
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// File whose first line is the passphrase of the keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Signed {
    /// The digest of the request.
    request: Digest,
    keyid: KeyId,
    /// The signature file that was written.
    file: PathBuf,
    /// What was signed.
    about: Value,
}

#[derive(Serialize)]
struct PutTogether {
    target: PathBuf,
    added: Vec<KeyId>,
    /// Keys whose very signature was there already.
    known: Vec<KeyId>,
    roles: Vec<Tally>,
    /// Whether every threshold is met.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<Finished>,
}

pub fn run(args: &SignArgs, context: &Context) -> Result<()> {
    let kind = target::kind(&args.target)?;
    match kind {
        Kind::Request => sign_request(args, context),
        Kind::Bundle | Kind::Draft if args.keys.is_empty() && args.add.is_empty() => Err(CommandError::usage(
            "there is nothing to add: give signature files with --add FILE, or keys with --key KEY",
        )
        .hint("`sealock trust export` makes the request that other keyholders sign.")),
        Kind::Bundle => add_to_bundle(args, context),
        Kind::Draft => add_to_draft(args, context),
        Kind::Signature | Kind::Json | Kind::Key => {
            let problem = format!("{} is no signing request, bundle or root draft", args.target.display());
            Err(CommandError::usage(problem))
        }
    }
}

fn sign_request(args: &SignArgs, context: &Context) -> Result<()> {
    let request = target::read_request(&args.target)?;
    check_root(&request, &args.roots)?;
    let summary = describe::summary(&request)?;
    if context.dry_run {
        return context.ui.result(&summary.value, summary.text);
    }
    let ([name], []) = (args.keys.as_slice(), args.add.as_slice()) else {
        return Err(CommandError::usage("a request is signed with one key: --key KEY")
            .hint("Signature files are added to the bundle or the draft that the request came from."));
    };
    context.ui.review(&summary.text);
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let key = passphrases.load(name)?;
    context.ui.confirm("Sign this?")?;
    let signature = request.sign(key.as_ref())?;
    let file = args.to.clone().unwrap_or_else(|| signature_path(&args.target, signature.keyid()));
    target::write_again(&file, &signature.to_bytes()?, Kind::Signature)?;
    let (request, keyid) = (request.digest().clone(), signature.keyid().clone());
    let text = format!("{}\nsigned by {keyid}; this file goes back to whoever made the request", file.display());
    context.ui.result(&Signed { request, keyid, file, about: summary.value }, text)
}

/// That the request's root is the one that the signer knows.
fn check_root(request: &SigningRequest, known: &[PathBuf]) -> Result<()> {
    let Some(newest) = known.last() else { return Ok(()) };
    let known = Digest::sha256(&files::read(newest, target::MAX_DOCUMENT)?);
    match request.root_fingerprint()? {
        Some(found) if found != known => {
            let problem = format!("the request is under the root {found}, and {} is {known}", newest.display());
            Err(CommandError::refused(sealock_trust::reason::Code::Fingerprint, problem))
        }
        Some(_) => Ok(()),
        None => Err(CommandError::usage("a first root and a vendor's word are under no root: leave --root away")),
    }
}

/// `plant-7.request.json` → `plant-7.1a2b3c4d.signature.json`.
fn signature_path(request: &Path, keyid: &KeyId) -> PathBuf {
    let ending = format!(".{}.signature.json", describe::brief(keyid));
    target::with_ending(request, &[".request.json", ".json"], &ending)
}

fn add_to_bundle(args: &SignArgs, context: &Context) -> Result<()> {
    let roots = target::bundle_roots(&args.target, &args.roots)?;
    let requests = sign::requests(&args.target, &roots)?;
    let mut files = read_signatures(&args.add)?;
    let keys = load_keys(args, context)?;
    if context.dry_run {
        let before = requests.tally();
        return context.ui.result(&before, describe::tally_text(&before));
    }
    for requested in requests.all() {
        let own: Vec<&Key> = keys.iter().filter(|key| has_say(requested, key.public_key().id())).collect();
        if !own.is_empty() {
            review(&requested.request, context)?;
        }
        for key in own.into_iter().filter(|key| !has_signed(&requested.tally, key.public_key().id())) {
            files.push(requested.request.sign(key.as_ref())?);
        }
    }
    // A key without a say anywhere is told so.
    keys.iter().try_for_each(|key| requests.of_signer(key.as_ref()).map(drop))?;
    let (_, merged, roles) = sign::merge(&args.target, &roots, &files)?;
    for path in vendors::keep_words(&args.target)? {
        context.ui.note(format_args!("{} keeps what the vendor signed, for later bundles: commit it", path.display()));
    }
    show(args, merged, (roles, None), context)
}

fn has_say(requested: &Requested, keyid: &KeyId) -> bool {
    requested.request.asked().iter().any(|asked| asked.keys.keys().contains_key(keyid))
}

fn add_to_draft(args: &SignArgs, context: &Context) -> Result<()> {
    let mut draft = target::read_draft(&args.target)?;
    let files = read_signatures(&args.add)?;
    let keys = load_keys(args, context)?;
    if context.dry_run {
        draft.merge(&files)?;
        let tally = draft.tally()?;
        return context.ui.result(&tally, describe::tally_text(&tally));
    }
    if !keys.is_empty() {
        review(draft.request(), context)?;
    }
    let mut merged = draft.merge(&files)?;
    merged.added.extend(draft.sign(&keys::signers(&keys))?.added);
    let finished = finish::keep(&args.target, args.to.as_deref(), &draft)?;
    show(args, merged, (draft.tally()?, finished), context)
}

fn review(request: &SigningRequest, context: &Context) -> Result<()> {
    context.ui.review(describe::summary(request)?.text);
    context.ui.confirm("Sign this?")
}

fn has_signed(tally: &[Tally], keyid: &KeyId) -> bool {
    tally.iter().any(|role| role.signed.contains(keyid))
}

fn read_signatures(paths: &[PathBuf]) -> Result<Vec<SignatureFile>> {
    let read = |path: &PathBuf| -> Result<SignatureFile> {
        let bytes = files::read(path, target::MAX_DOCUMENT)?;
        SignatureFile::from_bytes(&bytes).map_err(|error| CommandError::from(error).context(path.display().to_string()))
    };
    paths.iter().map(read).collect()
}

fn load_keys(args: &SignArgs, context: &Context) -> Result<Vec<Key>> {
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    args.keys.iter().map(|name| passphrases.load(name)).collect()
}

fn show(
    args: &SignArgs,
    merged: Merged,
    (roles, finished): (Vec<Tally>, Option<Finished>),
    context: &Context,
) -> Result<()> {
    for keyid in &merged.known {
        context.ui.note(format_args!("the signature by {keyid} was there already"));
    }
    let mut text = describe::tally_text(&roles);
    match &finished {
        Some(finished) => text.push_str(&finished.text()),
        None if describe::is_met(&roles) => {}
        None => {
            let request = export::request_path(&args.target);
            context.ui.note(format_args!(
                "`sealock trust export {}` writes {} for those who are missing",
                args.target.display(),
                request.display()
            ));
        }
    }
    let complete = describe::is_met(&roles);
    let (added, known) = (merged.added, merged.known);
    let outcome = PutTogether { target: args.target.clone(), added, known, roles, complete, finished };
    context.ui.result(&outcome, text)
}
