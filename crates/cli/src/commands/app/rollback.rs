//! `sealock app rollback`

use std::time::{Duration, Instant};

use sealock_cluster::apps::{Attempt, Progress, Records, Rollback};
use serde::Serialize;

use super::bound::Need;
use super::known::NameArgs;
use super::told::Told;
use crate::commands::cluster::running::Running;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::time;
use crate::ui::took;

/// Bring back what an application was before
///
/// The very objects that were applied then: nothing is rendered again. Refused where an image or a file of manifests is in no live
/// release any more, or was revoked. What only later revisions put there is taken away, and everything waited for, as `apply`
/// does. The rollback is a revision of its own.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    name: NameArgs,
    /// A revision of `app history` [default: the last one that was ready before the newest]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Seconds to wait until everything is ready, and for each hook of a chart
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    app: String,
    cluster: String,
    /// The revision that came back.
    to: u64,
    /// The revision that this is.
    revision: u64,
    /// Kubernetes objects.
    objects: usize,
    /// Workloads that are ready.
    ready: usize,
}

pub fn run(args: &RollbackArgs, context: &Context) -> Result<()> {
    let known = args.name.find(context)?;
    let revisions = known.needed_revisions(context)?;
    let running = Running::open(&known.cluster, context)?;
    let live = running.live(context)?;
    let (toolbox, runtime) = (running.toolbox(), context.runtime()?);
    let target = running.target(&toolbox);
    let rollback = runtime.block_on(Rollback::prepare(&revisions, args.to, &live, &target))?;
    revocations::alarm(rollback.alarms(), context);
    let to = rollback.to();
    if context.dry_run {
        context.ui.note(format_args!("revision {to} of {} can come back; nothing was changed", known.app));
        return Ok(());
    }
    let (started, told) = (Instant::now(), Told::default());
    let mut records = Records::open(running.folder(), &known.cluster, &known.app)?;
    if *records.known() != revisions {
        return Err(CommandError::failed(format!("another command has changed {} meanwhile", known.app))
            .hint("Run this again to look at what is there now."));
    }
    let need = Need { folder: running.folder(), app: &known.app, releases: rollback.releases().clone() };
    need.begin()?;
    let tell = |event: &Progress<'_>| told.tell(&context.ui, event);
    let attempt = Attempt { at: time::now(), timeout: Duration::from_secs(args.timeout), progress: &tell };
    let applied = runtime.block_on(rollback.carry_out(&mut records, &attempt))?;
    need.settle()?;
    let revision = records.known().newest().map_or(0, |newest| newest.number);
    let (objects, ready) = (applied.objects, applied.workloads.len());
    let outcome = Outcome { app: known.app, cluster: known.cluster, to, revision, objects, ready };
    let text = format!(
        "app {} on cluster {} is what it was in revision {to}, and ready: revision {revision}, in {}",
        outcome.app,
        outcome.cluster,
        took(started.elapsed())
    );
    context.ui.result(&outcome, text)
}
