//! `sealock lock`

mod changes;

use std::path::{Path, PathBuf};

use sealock_bundle::document::DocumentError;
use sealock_bundle::lock::LockedReference;
use sealock_bundle::os_packages::REPOSITORY;
use sealock_bundle::spec::{Choice, SelectError, Selection};
use sealock_bundle::{Bundle, Lock, summary};
use sealock_fetch::LockRequest;
use sealock_trust::{Digest, tuf};
use serde::Serialize;

use super::build::built;
use super::parameters::ParameterArgs;
use crate::commands::trust::{target, vendors};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::{files, outside, time};
use changes::Changes;

/// Resolve the bundle spec to digests
///
/// Asks the upstreams what each tag, chart and version is right now, checks upstream signatures, renders charts to find
/// their images, and writes the lock. Commit it and review its changes: `sealock build` takes what it names, no more.
/// Where nothing has changed the lock stays as it is.
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// The bundle spec
    #[arg(short, long, value_name = "FILE", default_value = "sealock.yaml")]
    file: PathBuf,
    /// The lock to write [default: sealock.lock beside the spec; with --variant NAME sealock.NAME.lock]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// The newest trust root [default: trust/root.json, or its newest successor, beside the spec]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Where downloaded tools are kept while locking; programs must be allowed to run there [default: /var/tmp]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Lock this variant of the spec
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Carry this optional component as well; may be repeated
    #[arg(long, value_name = "COMPONENT")]
    with: Vec<String>,
    /// Leave out this optional component of the variant; may be repeated
    #[arg(long, value_name = "COMPONENT")]
    without: Vec<String>,
    #[command(flatten)]
    parameters: ParameterArgs,
    /// Write nothing; fail where the lock is not what the spec resolves to now (times and sequence aside)
    #[arg(long, conflicts_with = "renew")]
    check: bool,
    /// Issue the lock anew, with new times, though nothing has changed
    #[arg(long)]
    renew: bool,
}

/// What locking came to.
#[derive(Serialize)]
struct Outcome {
    lock: PathBuf,
    changed: bool,
    stream: String,
    sequence: u64,
    #[serde(flatten)]
    changes: Changes,
    /// Bytes of all blobs together.
    bytes: u64,
}

pub fn run(args: &LockArgs, context: &Context) -> Result<()> {
    let path = args.lock.clone().unwrap_or_else(|| args.file.with_file_name(lock_name(args.variant.as_deref())));
    let before = read(&path)?;
    let mut request = request(args, before.as_ref(), &path)?;
    request.keep = (!args.check && !context.dry_run).then(|| request.folder.clone());
    let progress = context.ui.progress();
    let resolved = settings(args, context).and_then(|settings| {
        let told = outside::progress(&progress);
        let resolving = sealock_fetch::resolve(&request, &settings, &told);
        context.runtime()?.block_on(resolving).map_err(CommandError::from)
    });
    progress.end();
    let delegations = vendors::delegations(&vendors::delegations_path(&request.folder))?;
    let lock = resolved?.delegating(delegations.as_ref())?;
    let changes = Changes::between(before.as_ref(), &lock);
    let differs = before.as_ref().is_none_or(|before| !is_same(before, &lock));
    if args.check {
        return check(differs, &changes, &path, context);
    }
    let changed = differs || args.renew;
    if changed && !context.dry_run {
        files::replace(&path, &lock.to_bytes()?)?;
    }
    let kept = before.filter(|_| !changed).unwrap_or(lock);
    show(path, changed, changes, &kept, context)
}

/// Variants have locks of their own, so that they do not overwrite each other's.
fn lock_name(variant: Option<&str>) -> String {
    variant.map_or_else(|| "sealock.lock".to_owned(), |variant| format!("sealock.{variant}.lock"))
}

/// What the flags select of the spec.
fn select(args: &LockArgs, bundle: &Bundle) -> Result<(Bundle, Option<Selection>)> {
    let choice = Choice { variant: args.variant.clone(), with: args.with.clone(), without: args.without.clone() };
    bundle.select(&choice).map_err(|error| match error {
        SelectError::Spec(problem) => DocumentError::other(&args.file, None, problem).into(),
        other => CommandError::usage(other.to_string()),
    })
}

fn settings(args: &LockArgs, context: &Context) -> Result<sealock_fetch::Settings> {
    let mut settings = outside::settings(&context.settings)?;
    if let Some(folder) = &args.cache {
        let failed = |error| CommandError::from(error).context(format!("making the folder {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        settings.scratch.clone_from(folder);
    }
    Ok(settings)
}

fn read(path: &Path) -> Result<Option<Lock>> {
    if !path.exists() {
        return Ok(None);
    }
    let lock = Lock::from_bytes(&files::read(path, built::MAX_LOCK)?);
    lock.map(Some).map_err(|error| {
        CommandError::from(error)
            .context(format!("the lock {} cannot be read", path.display()))
            .hint("Take it back from git, or remove it to lock from scratch.")
    })
}

fn request(args: &LockArgs, before: Option<&Lock>, path: &Path) -> Result<LockRequest> {
    let text = files::read_text(&args.file).map_err(|error| where_to_begin(error, &args.file))?;
    let prepared = args.parameters.prepare(&args.file, &text, args.variant.as_deref())?;
    let (bundle, selection) = select(args, &prepared.bundle)?;
    let folder = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let newest = || target::root_chain(&folder).pop().unwrap_or_else(|| folder.join("trust/root.json"));
    let root = args.root.clone().unwrap_or_else(newest);
    let last = built::last(&built::path(path), bundle.metadata.stream.as_str())?;
    let (sequence, previous) = next(before, last.as_ref());
    Ok(LockRequest {
        spec: Digest::sha256(text.as_bytes()),
        selection,
        parameters: prepared.parameters,
        used_parameters: prepared.used,
        bundle,
        folder: if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder },
        sequence,
        previous,
        annotations: before.map(|before| before.annotations.clone()).unwrap_or_default(),
        issued: time::issued()?,
        publisher_keys: publisher_keys(&root)?,
        tool: concat!("sealock ", env!("CARGO_PKG_VERSION")).to_owned(),
        keep: None,
    })
}

fn where_to_begin(error: CommandError, spec: &Path) -> CommandError {
    if spec.exists() {
        return error;
    }
    error.hint("`sealock init` writes a spec to begin with; --file FILE names one that is elsewhere.")
}

/// Sequence and previous manifest: those of the lock that is there until its bundle is built, then the next.
fn next(before: Option<&Lock>, last: Option<&built::Built>) -> (u64, Option<Digest>) {
    match (before, last) {
        (before, Some(last)) if before.is_none_or(|before| before.sequence <= last.sequence) => {
            (last.sequence + 1, Some(last.manifest.clone()))
        }
        (Some(before), _) => (before.sequence, before.previous.clone()),
        (None, _) => (1, None),
    }
}

fn publisher_keys(root: &Path) -> Result<u32> {
    if !root.exists() {
        let problem = format!("there is no trust root at {}", root.display());
        return Err(CommandError::usage(problem).hint("`sealock init` makes one; --root FILE names another."));
    }
    let root = tuf::open_root(&files::read(root, 1 << 20)?)?;
    let keys = root.publisher_keys().map_err(CommandError::from)?;
    Ok(u32::try_from(keys.keys().len()).unwrap_or(u32::MAX))
}

/// Whether two locks name the same content under the same rules, times, sequence and tool aside.
fn is_same(before: &Lock, now: &Lock) -> bool {
    // The verification summary restates the rest, and the issue time with it.
    let (before, now) = (&summary::without_summary(before), &summary::without_summary(now));
    let aside = |lock: &Lock| Lock {
        sequence: now.sequence,
        previous: now.previous.clone(),
        issued: now.issued,
        soft_expiry: now.soft_expiry,
        expires: now.expires,
        tool: now.tool.clone(),
        annotations: lock.annotations.iter().filter(|(name, _)| !is_progress(name)).map(owned).collect(),
        references: Vec::new(),
        ..lock.clone()
    };
    let references = |lock: &Lock| -> Vec<(String, LockedReference)> {
        let reference = |reference: &LockedReference| {
            let name = now.references.first().unwrap_or(reference).name.clone();
            (changes::name(lock, reference), LockedReference { name, ..reference.clone() })
        };
        lock.references.iter().map(reference).collect()
    };
    aside(before) == aside(now) && references(before) == references(now)
}

/// Whether an annotation says how far an archive had come: another date alone makes no other lock.
fn is_progress(name: &str) -> bool {
    name.strip_prefix(REPOSITORY).is_some_and(|rest| rest.starts_with('/'))
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn check(differs: bool, changes: &Changes, path: &Path, context: &Context) -> Result<()> {
    context.ui.result(changes, changes.text())?;
    if !differs {
        context.ui.done(format_args!("{} is what the spec resolves to", path.display()));
        return Ok(());
    }
    Err(CommandError::failed(format!("{} is not what the spec resolves to now", path.display()))
        .hint("`sealock lock` writes it anew; review the changes and commit them."))
}

fn show(lock: PathBuf, changed: bool, changes: Changes, kept: &Lock, context: &Context) -> Result<()> {
    let verb = match (changed, context.dry_run) {
        (false, _) => "is unchanged",
        (true, true) => "would be written",
        (true, false) => "is written",
    };
    let text = format!(
        "{}{} {verb}: {} {}, {} artifacts, {}",
        changes.text(),
        lock.display(),
        kept.stream,
        kept.sequence,
        kept.references.len(),
        crate::ui::bytes(kept.content_size())
    );
    let outcome = Outcome {
        lock,
        changed,
        stream: kept.stream.to_string(),
        sequence: kept.sequence,
        changes,
        bytes: kept.content_size(),
    };
    context.ui.result(&outcome, text)
}
