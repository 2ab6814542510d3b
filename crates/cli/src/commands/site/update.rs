//! `sealock site update`

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use sealock_bundle::binary::Description;
use sealock_bundle::update::{self, Installed, Offer, PREVIOUS, Present, UpdateError, Updater};
use sealock_cluster::tools::oci_architecture;
use sealock_server::control;
use sealock_trust::Digest;
use semver::Version;
use serde::Serialize;
use tokio::process::Command;

use crate::context::Context;
use crate::error::Result;
use crate::station::Station;

/// Replace this station's own Sealock by the one that the current release carries
///
/// The only source is the store: what a bundle brought that was accepted, and that is not revoked. The new binary is hashed
/// as it is written beside the old one, tried out, and put in its place by one rename; the old one stays beside it. Cut off
/// anywhere, either of them is there, whole, and the same command finishes. Nodes get the new one with the next
/// `sealock cluster apply`.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// The binary to replace [default: the one that runs this command]
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// Install this version, and not the newest that the release carries
    #[arg(long = "to", value_name = "VERSION", conflicts_with = "rollback")]
    version: Option<Version>,
    /// Install it though it is older than what is there
    #[arg(long, conflicts_with = "rollback")]
    allow_downgrade: bool,
    /// Put the binary back that the last update has replaced
    #[arg(long)]
    rollback: bool,
}

#[derive(Serialize)]
struct Outcome {
    path: PathBuf,
    changed: bool,
    before: Version,
    now: Version,
    /// The SHA-256 of what is there now.
    digest: Digest,
    /// The release that it came from; none for what was put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<u64>,
}

/// For a binary to say what it is.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(args: &UpdateArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let path = binary(args)?;
    let updater = Updater { store: &station.store, trust: &station.directory, site: &station.site };
    if args.rollback {
        return roll_back(&updater, &path, context);
    }
    let present = Present::at(&path)?;
    let installed = &present.description.version;
    let offers = updater.offers(oci_architecture())?;
    let Some(offer) = update::choose(&offers, args.version.as_ref(), installed, args.allow_downgrade)? else {
        return nothing(&path, &present, "the current release carries no Sealock for this machine", context);
    };
    if offer.digest == present.digest {
        // What was cut off between its last two steps is finished.
        let lock = station.store.lock()?;
        updater.install((&lock, Timestamp::now()), offer, &path, &mut |_| Ok(()))?;
        return nothing(
            &path,
            &present,
            &format!("Sealock {installed} of release {} is installed", offer.release),
            context,
        );
    }
    if context.dry_run {
        return dry_run(&path, &present, offer, context);
    }
    let question = format!("Replace Sealock {installed} in {} by {}?", path.display(), offer.description.version);
    context.ui.confirm(&question)?;
    let lock = station.store.lock()?;
    let mut try_out = |new: &Path| try_out(new, &offer.description, context);
    let installed = updater.install((&lock, Timestamp::now()), offer, &path, &mut try_out)?;
    show(&path, installed, Some(offer.release), context)
}

fn roll_back(updater: &Updater<'_>, path: &Path, context: &Context) -> Result<()> {
    let kept = with_ending(path, PREVIOUS);
    if context.dry_run {
        let (present, before) = (Present::at(path)?, Present::at(&kept)?);
        let text = format!("would put Sealock {} back into {}", before.description.version, path.display());
        let (before, now, digest) = (present.description.version, before.description.version, before.digest);
        let outcome = Outcome { path: path.to_owned(), changed: false, before, now, digest, release: None };
        return context.ui.result(&outcome, text);
    }
    context.ui.confirm(&format!("Put the Sealock back that {} was before?", path.display()))?;
    let lock = updater.store.lock()?;
    let mut runs = |new: &Path| said_by(new, context).map(drop);
    let installed = updater.roll_back((&lock, Timestamp::now()), path, &mut runs)?;
    show(path, installed, None, context)
}

/// The file itself, behind every link to it.
fn binary(args: &UpdateArgs) -> Result<PathBuf> {
    let named = match &args.path {
        Some(path) => path.clone(),
        None => std::env::current_exe()?,
    };
    let failed = |source| UpdateError::Io { action: "find", path: named.clone(), source };
    Ok(std::fs::canonicalize(&named).map_err(failed)?)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Asks the new binary who it is: what cannot be started here never gets its place.
fn try_out(new: &Path, declared: &Description, context: &Context) -> Result<(), String> {
    let said = said_by(new, context)?;
    let version = said.get("version").and_then(serde_json::Value::as_str).unwrap_or_default();
    let wanted = declared.version.to_string();
    if version == wanted { Ok(()) } else { Err(format!("it says that it is {version:?}, and not {wanted}")) }
}

fn said_by(new: &Path, context: &Context) -> Result<serde_json::Value, String> {
    let runtime = context.runtime().map_err(|error| error.chain().join(": "))?;
    let asked = async {
        let mut command = Command::new(new);
        command.args(["version", "--output", "json"]).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(PATIENCE, command.output()).await
    };
    let output = match runtime.block_on(asked) {
        Ok(output) => output.map_err(|error| format!("it cannot be started: {error}"))?,
        Err(_) => return Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    match serde_json::from_slice(&output.stdout) {
        Ok(said) if output.status.success() => Ok(said),
        _ => Err(format!("{}: {}", output.status, said.lines().next().unwrap_or("it says nothing"))),
    }
}

fn dry_run(path: &Path, present: &Present, offer: &Offer, context: &Context) -> Result<()> {
    let (before, now) = (&present.description.version, &offer.description.version);
    let text = format!(
        "would replace Sealock {before} in {} by {now} of release {} (stream {}), {}",
        path.display(),
        offer.release,
        offer.stream,
        offer.digest
    );
    let outcome = Outcome {
        path: path.to_owned(),
        changed: false,
        before: before.clone(),
        now: now.clone(),
        digest: offer.digest.clone(),
        release: Some(offer.release),
    };
    context.ui.result(&outcome, text)
}

fn nothing(path: &Path, present: &Present, why: &str, context: &Context) -> Result<()> {
    let version = present.description.version.clone();
    let outcome = Outcome {
        path: path.to_owned(),
        changed: false,
        before: version.clone(),
        now: version,
        digest: present.digest.clone(),
        release: None,
    };
    context.ui.result(&outcome, format!("nothing to do: {why}"))
}

fn show(path: &Path, installed: Installed, release: Option<u64>, context: &Context) -> Result<()> {
    let Installed { before, now, digest, changed } = installed;
    let text = format!("{} is Sealock {} now, and was {}", path.display(), now.version, before.version);
    if changed {
        context.ui.done(format_args!("the old one is kept as {}", with_ending(path, PREVIOUS).display()));
        tell_who_runs(context);
    }
    let (before, now) = (before.version, now.version);
    context.ui.result(&Outcome { path: path.to_owned(), changed, before, now, digest, release }, text)
}

/// What runs goes on with the old binary, which is still open.
fn tell_who_runs(context: &Context) {
    let socket = context.paths.control_socket();
    if control::reload(&socket).is_ok() {
        let hint = "the server goes on with the old binary until it is restarted: `systemctl restart sealock-serve`, or end it and start it again";
        context.ui.warn(hint);
    }
}
