//! `sealock cluster restore`

use std::path::{Path, PathBuf};
use std::time::Instant;

use sealock_cluster::backup::Backup;
use sealock_trust::Digest;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::restore_member;
use super::target::{Target, TargetArgs};
use crate::commands::backup_file::identities;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::took;

/// Make the cluster again from a backup, on the hosts that the spec names
///
/// These may be the machines of before, given back with `cluster reset`, or others with other addresses. Workers that were in the
/// cluster may be there still. The first control plane begins with the authorities and with etcd's data from the backup; all others
/// join it, and nodes that went with their machines are forgotten. What was written after the backup is lost: the question says from when it
/// is. Run again it finishes what was cut off.
///
/// With `--member` no backup is needed, and nothing is lost: the others live, and one control plane's member of etcd does not, for its data is
/// gone, damaged, or in doubt. Behind a snapshot it is taken out of etcd, its data moved aside with the date in its name, and kubeadm brings it
/// again, without a vote until it has caught up; done means that all members hold the same.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "BACKUP", required_unless_present = "member", conflicts_with = "member")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// The key that opens it: a file of `sealock site recovery-key` or `age-keygen`
    #[arg(long, value_name = "FILE", required_unless_present = "member", conflicts_with = "member")]
    recovery_key: Option<PathBuf>,
    /// Bring back the member of etcd on this control plane alone, from the others
    #[arg(long, value_name = "HOST")]
    member: Option<String>,
    /// Also where that member is well
    #[arg(long, requires = "member")]
    force: bool,
    /// File whose first line is the passphrase of that key
    #[arg(long, value_name = "FILE", conflicts_with = "member")]
    passphrase_file: Option<PathBuf>,
    /// The backup's digest, as `cluster backup` printed it; asked for where nobody is asked to confirm
    #[arg(long, value_name = "DIGEST", conflicts_with = "member")]
    digest: Option<Digest>,
}

pub fn run(args: &RestoreArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    match (&args.member, &args.backup, &args.recovery_key) {
        (Some(host), ..) => restore_member::run(&target, host, args.force, context),
        (None, Some(backup), Some(key)) => whole(args, (backup, key), &target, context),
        _ => Err(CommandError::usage("a backup and the key that opens it are needed, or --member")),
    }
}

/// The whole cluster, as the backup has it.
fn whole(args: &RestoreArgs, (backup, key): (&Path, &Path), target: &Target, context: &Context) -> Result<()> {
    let backup = Backup::open(backup, target.site())?;
    check_named(args.digest.as_ref(), &backup)?;
    let identities = identities(key, args.passphrase_file.as_deref(), context)?;
    // Whether the key opens it is known before any host is asked.
    backup.decrypted(&identities).map(drop)?;
    let planned = context.runtime()?.block_on(target.operator().plan_restore(&target.cluster, &backup))?;
    target.check_mirrors(&planned, context)?;
    if context.dry_run {
        return show(&planned, context);
    }
    if args.digest.is_none() && context.ui.is_answered() {
        return Err(CommandError::usage("which backup is meant has to be said where nobody confirms it")
            .hint(format!("Give --digest {}, if that is what was written down.", backup.digest())));
    }
    let manifest = backup.manifest();
    let (cluster, taken, revision) = (&manifest.cluster, manifest.taken, manifest.state.etcd.revision);
    let digest = backup.digest();
    let question = match target.cluster.external_etcd() {
        Some(_) => format!(
            "Make the control planes of cluster {cluster} again over its external etcd, with the authorities of {taken} (backup {digest})? What is in that etcd stays as it is."
        ),
        None => format!(
            "Make cluster {cluster} what it was at {taken} (revision {revision}, backup {digest})? What was written since is lost."
        ),
    };
    review(&planned, &question, context)?;
    let started = Instant::now();
    let operator = target.operator_now(context)?;
    context.runtime()?.block_on(operator.bring_backup(&planned, &backup, &identities))?;
    let applied = carry_out(&operator, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = match outcome.changed {
        0 => format!("nothing to do: cluster {cluster} was restored from this backup"),
        _ => format!("cluster {cluster} is what it was at {taken}, in {}", took(started.elapsed())),
    };
    context.ui.result(&outcome, text)
}

/// A digest that was named is that of the backup.
fn check_named(named: Option<&Digest>, backup: &Backup) -> Result<()> {
    match named {
        Some(named) if named != backup.digest() => {
            Err(CommandError::usage(format!("the backup's digest is {}, and {named} was named", backup.digest())))
        }
        _ => Ok(()),
    }
}
