//! `sealock build`

pub mod built;
mod delta;
mod list;
mod patched;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealock_bundle::archive::{Writer, forget_progress};
use sealock_bundle::lock::LockedBlob;
use sealock_bundle::manifest::{Base, Patching};
use sealock_bundle::sign::{Requests, SignedBundle, requests, sign_with};
use sealock_bundle::vendors::{self as vendors_of_bundle, Words};
use sealock_bundle::{Archive, Lock, Manifest};
use sealock_trust::request::Tally;
use sealock_trust::{Digest, KeyId, KeySet, tuf};
use serde::Serialize;

use crate::commands::parameters::ParameterArgs;
use crate::commands::trust::export::{self, VendorRequest};
use crate::commands::trust::{target, vendors};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, Key, KeyName, Passphrases};
use crate::ui::{bytes, facts, patches_in_words, took};
use crate::{files, outside};

use list::Carried;

/// Fetch what the lock names, and write one signed bundle
///
/// Each blob is fetched once, straight to its final place, and checked against the lock. An interrupted build goes on
/// where it stopped. The payload is reproducible: the same lock makes the same bytes, signatures aside. Run again with
/// another key it adds that key's signature. The publisher's newest revocation list travels along.
///
/// Values of parameters stand in the lock; `--set` and `--parameters` only make sure that they are these.
///
/// With `--since` it makes a delta for the site that gave the receipt: it lists everything, and carries only what the site
/// does not hold yet. Lock and receipt determine its payload, and the want-list where there is one.
///
/// Where names are delegated to vendors (`trust delegate`) it writes a signing request for each beside the bundle, unless what
/// the vendor signed before still serves.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The lock
    #[arg(long, value_name = "FILE", default_value = "sealock.lock")]
    lock: PathBuf,
    /// The bundle to write [default: NAME-SEQUENCE.tar beside the lock, for a delta NAME-SEQUENCE-delta-SITE.tar]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Private keys of the publisher: files or `pkcs11:` URIs [default: keys/publisher.pem beside the lock, or the URI in
    /// keys/publisher.uri]
    #[arg(short, long = "key", value_name = "KEY")]
    keys: Vec<KeyName>,
    /// The trust root; after a rotation every one since the first, oldest first [default: trust/root.json and its successors
    /// trust/2.root.json and so on, beside the lock]
    #[arg(long = "root", value_name = "FILE")]
    roots: Vec<PathBuf>,
    /// The revocation list that travels along [default: trust/revocations.json beside the lock, where there is one]
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    /// Write a signing request for keyholders elsewhere; without --key nothing is signed here
    #[arg(long, value_name = "FILE")]
    export_request: Option<PathBuf>,
    /// File whose first line is the passphrase of the keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    delta: delta::DeltaArgs,
}

/// What building came to.
#[derive(Serialize)]
struct Outcome {
    bundle: PathBuf,
    /// The digest of the manifest, which names the bundle.
    digest: Digest,
    stream: String,
    sequence: u64,
    /// Bytes of the file.
    size: u64,
    /// In a delta: what has to be at the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
    /// In a delta: what patches save.
    #[serde(skip_serializing_if = "Option::is_none")]
    patches: Option<Patching>,
    /// The revocation list that travels along.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocations: Option<String>,
    signers: Vec<KeyId>,
    /// How many signatures a site asks for.
    threshold: u32,
    /// How far each vendor is whom names are delegated to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vendors: Vec<Tally>,
    /// What goes to the vendors who have yet to sign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<VendorRequest>,
}

/// Everything that is read before anything is fetched.
struct Job {
    lock: Lock,
    folder: PathBuf,
    to: PathBuf,
    manifest: Manifest,
    /// The content of `manifest.json`.
    manifest_bytes: Vec<u8>,
    digest: Digest,
    roots: Vec<Vec<u8>>,
    revocations: Option<Carried>,
    publisher: KeySet,
    /// What vendors have signed before.
    words: Words,
    keys: Vec<Key>,
}

pub fn run(args: &BuildArgs, context: &Context) -> Result<()> {
    let (mut job, patching) = Job::new(args, context)?;
    if context.dry_run {
        return dry_run(&job, context);
    }
    let started = Instant::now();
    if let Some(patching) = patching {
        job.set(patched::build(&job, &patching, context)?)?;
    } else if is_built(&job)? {
        context.ui.detail(format_args!("{} is built already, signing it", job.to.display()));
        forget_progress(&job.to)?;
        job.revocations.as_ref().map(|list| list.warn_if_not_in(&job.to, context)).transpose()?;
    } else {
        fetch(&job, &job.to, context)?;
    }
    let signed = sign_with(&job.to, &job.roots, &job.words, &keys::signers(&job.keys))?;
    let requests = requests(&job.to, &job.roots)?;
    if let Some(file) = &args.export_request {
        export::write_request(&requests.publisher.request, file)?;
        context.ui.done(format_args!("{} for the keyholders who have yet to sign", file.display()));
    }
    let asked = export::write_vendor_requests(&requests.vendors, &job.to)?;
    for unfit in vendors_of_bundle::plan(&job.manifest, &job.words).1 {
        if asked.iter().any(|request| request.vendor == unfit.role) {
            context.ui.note(format_args!("{unfit}: it is asked anew"));
        }
    }
    let record = built::Built {
        stream: job.lock.stream.to_string(),
        sequence: job.lock.sequence,
        manifest: signed.manifest.clone(),
    };
    built::keep_manifest(&args.lock, &job.manifest_bytes)?;
    built::record(&built::path(&args.lock), &record)?;
    context.ui.done(format_args!("{} in {}", job.to.display(), took(started.elapsed())));
    show(&job, signed, (&requests, asked), context)
}

impl Job {
    fn new(args: &BuildArgs, context: &Context) -> Result<(Self, Option<delta::Patching>)> {
        let folder = match args.lock.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let lock = read_lock(&args.lock)?;
        check_spec(&lock, &folder)?;
        args.parameters.check(&lock, &args.lock)?;
        check_delegations(&lock, &folder)?;
        let words = vendors::words(&folder, lock.delegations.as_ref())?;
        let delta::Plan { manifest, patching } = delta::plan(&args.delta, &lock, &args.lock, &folder)?;
        let manifest_bytes = bytes_of(&manifest)?;
        let roots = match args.roots.as_slice() {
            [] => target::root_chain(&folder),
            given => given.to_vec(),
        };
        let roots: Vec<Vec<u8>> = roots.iter().map(|path| files::read(path, 1 << 20)).collect::<Result<_>>()?;
        let revocations = list::find(args.revocations.as_deref(), &folder, &roots)?;
        revocations.as_ref().map(|list| list.check(&manifest)).transpose()?;
        let newest = roots.last().map(|root| tuf::open_root(root)).transpose()?;
        let publisher = newest.ok_or_else(|| no_root(&folder))?.publisher_keys()?;
        let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
        let keys = match args.keys.as_slice() {
            [] if args.export_request.is_none() => vec![keys::usual(&folder.join("keys"), "publisher")],
            given => given.to_vec(),
        };
        let keys = keys.iter().map(|name| load_key(name, &publisher, &passphrases)).collect::<Result<_>>()?;
        let to = args.to.clone().unwrap_or_else(|| folder.join(delta::file_name(&manifest)));
        let digest = Digest::sha256(&manifest_bytes);
        let job =
            Self { lock, folder, to, manifest, manifest_bytes, digest, roots, revocations, publisher, words, keys };
        Ok((job, patching))
    }

    /// The manifest that it came to.
    fn set(&mut self, manifest: Manifest) -> Result<()> {
        self.manifest_bytes = bytes_of(&manifest)?;
        self.digest = Digest::sha256(&self.manifest_bytes);
        self.manifest = manifest;
        Ok(())
    }
}

fn bytes_of(manifest: &Manifest) -> Result<Vec<u8>> {
    let bytes = manifest.to_bytes();
    bytes.map_err(|error| CommandError::from(error).context("the lock makes no manifest"))
}

fn no_root(folder: &Path) -> CommandError {
    CommandError::usage(format!("there is no trust root at {}", folder.join("trust/root.json").display()))
        .hint("`sealock init` makes one, and `sealock trust init` makes one for several keyholders.")
}

fn read_lock(path: &Path) -> Result<Lock> {
    if !path.exists() {
        return Err(CommandError::usage(format!("there is no lock at {}", path.display()))
            .hint("`sealock lock` makes one from the bundle spec."));
    }
    let lock = Lock::from_bytes(&files::read(path, built::MAX_LOCK)?);
    lock.map_err(|error| CommandError::from(error).context(format!("the lock {} cannot be read", path.display())))
}

/// A spec that was edited after locking asks for something else than will be built.
fn check_spec(lock: &Lock, folder: &Path) -> Result<()> {
    let path = folder.join("sealock.yaml");
    if !path.exists() || Digest::sha256(&files::read(&path, 4 << 20)?) == lock.spec {
        return Ok(());
    }
    Err(CommandError::failed(format!("{} was changed after it was locked", path.display()))
        .hint("`sealock lock` resolves it anew."))
}

/// As for the spec: the lock holds what the delegations were when it was made.
fn check_delegations(lock: &Lock, folder: &Path) -> Result<()> {
    let path = vendors::delegations_path(folder);
    let Some(delegations) = vendors::delegations(&path)? else { return Ok(()) };
    let names = lock.references.iter().map(|reference| reference.name.as_str());
    if vendors_of_bundle::concerned(&delegations, names)? == lock.delegations {
        return Ok(());
    }
    Err(CommandError::failed(format!("{} was changed after the lock was made", path.display()))
        .hint("`sealock lock` takes it up."))
}

/// Told before anything is fetched, since that takes long.
fn load_key(name: &KeyName, publisher: &KeySet, passphrases: &Passphrases<'_>) -> Result<Key> {
    let key = passphrases.load(name)?;
    if publisher.keys().contains_key(key.public_key().id()) {
        return Ok(key);
    }
    let problem = format!("{name} is not a publisher's key in the trust root");
    Err(CommandError::usage(problem).hint("Give a publisher's key with --key KEY, or the right --root FILE."))
}

/// Whether the bundle of this very lock is there.
fn is_built(job: &Job) -> Result<bool> {
    if !job.to.exists() {
        return Ok(false);
    }
    match Archive::open(&job.to) {
        Ok(archive) if archive.manifest_digest() == job.digest => Ok(true),
        _ => Err(other_bundle(job)),
    }
}

fn other_bundle(job: &Job) -> CommandError {
    CommandError::failed(format!("{} is there already, and is not what this lock makes", job.to.display()))
        .hint("Move it away, or write another file with --to FILE.")
}

fn fetch(job: &Job, to: &Path, context: &Context) -> Result<()> {
    let settings = outside::settings(&context.settings)?;
    let list = job.revocations.as_ref().map(|list| list.bytes.clone());
    let writer = Writer::create_carrying(to, (&job.lock, &job.manifest), list)?;
    let progress = context.ui.progress();
    let told = outside::progress(&progress);
    let building = sealock_fetch::fill(writer, &job.folder, &settings, &told);
    let outcome = context.runtime()?.block_on(building);
    progress.end();
    outcome?;
    Ok(())
}

fn dry_run(job: &Job, context: &Context) -> Result<()> {
    let carried: BTreeSet<&Digest> = job.manifest.carried().map(|blob| &blob.digest).collect();
    let is_fetched = |blob: &&LockedBlob| !blob.is_generated() && carried.contains(&blob.digest);
    let fetched = job.lock.blobs.iter().filter(is_fetched).count();
    let text = facts([
        ("would write", job.to.display().to_string()),
        ("manifest", job.digest.to_string()),
        ("to fetch", format!("{fetched} blobs")),
        ("size", size_of(&job.manifest, carried_size(&job.manifest))),
    ]);
    let value = serde_json::json!({
        "bundle": job.to, "digest": job.digest, "bytes": carried_size(&job.manifest), "base": job.manifest.base,
    });
    context.ui.result(&value, text)
}

fn carried_size(manifest: &Manifest) -> u64 {
    manifest.entries().fold(0, |sum, entry| sum.saturating_add(entry.size()))
}

/// A size in words; of a delta with what it stands for.
fn size_of(manifest: &Manifest, size: u64) -> String {
    match &manifest.base {
        None => bytes(size),
        Some(base) => format!(
            "{} of {}: {} blobs ({}) are at the site {}",
            bytes(size),
            bytes(manifest.limits.bytes),
            base.blobs,
            bytes(base.bytes),
            base.site
        ),
    }
}

fn show(
    job: &Job,
    signed: SignedBundle,
    (requests, asked): (&Requests, Vec<VendorRequest>),
    context: &Context,
) -> Result<()> {
    let outcome = Outcome {
        bundle: job.to.clone(),
        digest: signed.manifest,
        stream: job.lock.stream.to_string(),
        sequence: job.lock.sequence,
        size: Archive::open(&job.to)?.length(),
        base: job.manifest.base.clone(),
        patches: Some(job.manifest.patching()).filter(|patching| patching.layers > 0),
        revocations: job.revocations.as_ref().map(Carried::text),
        signers: signed.signers,
        threshold: job.publisher.threshold(),
        vendors: requests.vendors.iter().flat_map(|(_, requested)| requested.tally.clone()).collect(),
        requests: asked,
    };
    let have = outcome.signers.len();
    if !job.publisher.is_met_by(&outcome.signers) {
        context.ui.warn(format_args!("{have} of {} signatures: `sealock build --key KEY` adds one", outcome.threshold));
    }
    for VendorRequest { vendor, file, .. } in &outcome.requests {
        context.ui.warn(format_args!("the vendor {vendor} has yet to vouch: {} goes there", file.display()));
    }
    let mut lines = vec![
        ("bundle", outcome.bundle.display().to_string()),
        ("manifest", outcome.digest.to_string()),
        ("stream", format!("{}, sequence {}", outcome.stream, outcome.sequence)),
        ("size", size_of(&job.manifest, outcome.size)),
    ];
    lines.extend(outcome.patches.map(|patches| ("patches", patches_in_words(&patches))));
    lines.extend(outcome.revocations.clone().map(|list| ("revocations", list)));
    lines.push(("signatures", format!("{have} of {}", outcome.threshold)));
    for (vendor, requested) in &requests.vendors {
        let signed =
            requested.tally.iter().map(|tally| format!("{vendor}: {} of {}", tally.signed.len(), tally.threshold));
        lines.extend(signed.map(|signed| ("vendor", signed)));
    }
    context.ui.result(&outcome, facts(lines))
}
