//! `sealock cluster backup`

use std::path::PathBuf;

use sealock_cluster::backup::evidence::{Shelf, Whose};
use sealock_cluster::backup::{Backup, Manifest, Recipients, Subject};
use sealock_cluster::operator::BackupOrder;
use sealock_trust::Digest;
use serde::Serialize;

use super::target::{Target, TargetArgs};
use crate::commands::backup_file::BackupFileArgs;
use crate::commands::backup_folder::{Kept, made_anyway, not_remembered};
use crate::context::Context;
use crate::error::Result;
use crate::files;
use crate::station::Station;
use crate::ui::{bytes, facts};

/// Write all that it takes to make the cluster again into one file
///
/// A control plane host takes a snapshot of etcd, restores it in a temporary folder, starts an etcd over it and reads it; then it sends
/// that snapshot with the cluster's authorities, keys and encryption, encrypted for the recipients. The station adds a table of contents
/// that the site signs. The digest that is printed names the backup: write it down where the file is not. Nothing of the cluster changes.
///
/// With --keep-last, --keep-daily or --keep-weekly older backups of the cluster in the same folder are removed afterwards, but for those that
/// one of the three names. Only what the site has signed, and what is whole, is ever removed.
///
/// With --check a file is looked at instead: the site's signature and every byte of it, and with --recovery-key also what is encrypted.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    file: BackupFileArgs,
}

/// A backup, as it is told.
#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a PathBuf,
    digest: &'a Digest,
    manifest: &'a Manifest,
    /// Whether what is encrypted was read, too.
    opened: bool,
    /// What became of older ones, where something was said of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a Kept>,
}

pub fn run(args: &BackupArgs, context: &Context) -> Result<()> {
    match &args.file.check {
        Some(file) => check(file, args, context),
        None => make(args, context),
    }
}

fn make(args: &BackupArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let recipients = Recipients::parse(&args.file.recipients)?;
    let (name, now) = (target.cluster.name().as_str(), jiff::Timestamp::now());
    let is_keeping = args.file.is_keeping()?;
    let to = args.file.to(name, now);
    if context.dry_run {
        context.ui.note(format_args!("would write a backup of cluster {name} to {}", to.display()));
        let subject = Subject::Cluster { name, ca_hash: None };
        return if is_keeping { args.file.keep.foretell(&to, now, (target.site(), subject), context) } else { Ok(()) };
    }
    let spec = files::read_text(&args.target.file)?;
    let passphrases = args.file.passphrases(context);
    let keys = target.site_keys(context, &passphrases)?;
    let order = BackupOrder { to: &to, recipients: &recipients, spec: &spec, keys: &keys };
    let made = {
        let live = context.ui.live();
        live.begin("backup", "a snapshot, and its rehearsal");
        let progress = |received: u64| {
            if live.is_watched() {
                live.says("backup", &format!("{} received", bytes(received)));
            }
        };
        let made = context.runtime()?.block_on(target.operator().backup(&target.cluster, &order, &progress));
        live.rest("backup");
        made?
    };
    let ca_hash = Some(&*made.manifest.state.ca_hash);
    let remembered = Shelf::new(context.paths.evidence()).keep_backup(Whose::Cluster { name, ca_hash }, &made.path);
    let subject = Subject::Cluster { name, ca_hash };
    let new = (made.path.as_path(), &made.digest, made.manifest.taken);
    let kept = is_keeping.then(|| args.file.keep.carry_out(new, (target.site(), subject), context)).transpose();
    let told = kept.as_ref().ok().and_then(Option::as_ref);
    let outcome =
        Outcome { file: &made.path, digest: &made.digest, manifest: &made.manifest, opened: false, kept: told };
    // The digest is told whatever became of older ones.
    context.ui.result(&outcome, text(&outcome))?;
    remembered.map_err(|error| not_remembered(&made.path)(error.into()))?;
    kept.map(drop).map_err(made_anyway(&made.path))
}

fn check(file: &PathBuf, args: &BackupArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let backup = Backup::open(file, &station.site)?;
    let identities = args.file.identities(context)?;
    if let Some(identities) = &identities {
        backup.read(identities, |_, _| Ok(()))?;
    }
    let outcome = Outcome {
        file,
        digest: backup.digest(),
        manifest: backup.manifest(),
        opened: identities.is_some(),
        kept: None,
    };
    context.ui.result(&outcome, text(&outcome))
}

fn text(outcome: &Outcome<'_>) -> String {
    let Manifest { cluster, taken, release, host, recipients, state, payload, .. } = outcome.manifest;
    let opened = if outcome.opened { "opened, and all of it is what was signed" } else { "not opened" };
    let kept = outcome.kept.map(|kept| ("kept", kept.text()));
    let said = [
        ("backup", outcome.file.display().to_string()),
        ("digest", outcome.digest.to_string()),
        ("size", bytes(payload.size)),
        ("cluster", format!("{cluster}, Kubernetes {}, release {}", state.kubernetes, release.number)),
        ("taken", format!("{taken}, from {host}")),
        (
            "etcd",
            format!(
                "{} at revision {}; {} keys in the rehearsal",
                state.etcd.version, state.etcd.revision, state.etcd.rehearsed_keys
            ),
        ),
        ("recipients", recipients.join(", ")),
        ("content", opened.to_owned()),
    ];
    facts(said.into_iter().chain(kept))
}
