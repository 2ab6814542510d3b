//! `sealock cluster apply`

use std::path::PathBuf;
use std::time::Instant;

use sealock_cluster::operator::{self, PassedOver};
use sealock_trust::Digest;
use serde::Serialize;

use super::carry_out::{carry_out, digest, review};
use super::components;
use super::phase::{ApplyPhase, part};
use super::plan::{Summary, hosts, print, remark};
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Bring the hosts to what the spec says
///
/// Plans, shows the plan, asks, and runs it step by step, journaled here and on the nodes. Run again it finishes what
/// was cut off, and changes nothing when all is done. Nodes keep the containerd, runc and CNI plugins that they have: others of the
/// release are brought by `cluster upgrade --components`. A host that is to join a cluster that runs, and waits for certificates from your
/// PKI, is passed over and named. With `--dry-run` the plan is shown; `-o json` then says what it comes to.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Run exactly this plan, made by `cluster plan --save`; refused where spec, release or hosts changed since
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Only bring to the hosts what they will need, and make or change no cluster yet; without it the same command does the rest
    #[arg(long)]
    phase: Option<ApplyPhase>,
}

/// What applying came to.
#[derive(Serialize)]
struct Outcome {
    cluster: String,
    plan: Digest,
    /// Steps that changed something.
    changed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    /// Hosts that nothing was done on, and what to do about each.
    #[serde(rename = "passedOver", skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<PassedOver>,
}

pub fn run(args: &ApplyArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let operator = target.operator();
    let planned = context.runtime()?.block_on(operator.plan(&target.cluster))?;
    let planned = part(&operator, planned, args.phase)?;
    target.check_mirrors(&planned, context)?;
    if let Some(path) = &args.plan {
        operator.insist(&planned, &operator::read_plan(path)?)?;
    }
    if context.dry_run {
        remark(&planned, context);
        return context.ui.result(&Summary::of(&planned)?, print(&planned));
    }
    components::remark(&planned.behind, context);
    hosts(&planned, context);
    review(&planned, "Carry out this plan?", context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let outcome = Outcome {
        cluster: target.cluster.name().to_string(),
        plan: digest(&planned)?,
        changed: applied.changed,
        kubeconfig: applied.kubeconfig,
        passed_over: planned.passed_over.clone(),
    };
    let but = but(&outcome.passed_over);
    let text = match outcome.changed {
        0 if args.phase.is_some() => {
            format!("nothing to do: the hosts of cluster {} are prepared{but}", outcome.cluster)
        }
        changed if args.phase.is_some() => format!(
            "the hosts of cluster {} are prepared{but}: {changed} steps changed something, in {}; `sealock cluster apply` does the rest",
            outcome.cluster,
            took(started.elapsed())
        ),
        0 => format!("nothing to do: cluster {} is what the spec says{but}", outcome.cluster),
        changed => format!(
            "cluster {} is up{but}: {changed} steps changed something, in {}",
            outcome.cluster,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}

/// Which hosts are not part of it.
fn but(passed_over: &[PassedOver]) -> String {
    let hosts: Vec<&str> = passed_over.iter().map(|one| one.host.as_str()).collect();
    if hosts.is_empty() { String::new() } else { format!(", but for {}", hosts.join(", ")) }
}
