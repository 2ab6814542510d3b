//! `sealock cluster rollback`

use std::num::NonZeroU16;
use std::time::Instant;

use sealock_cluster::Cluster;
use sealock_cluster::operator::Rollback;
use sealock_cluster::plan::Draining;
use serde::Serialize;

use super::carry_out::{carry_out, review};
use super::drain::HowArgs;
use super::plan::{print, show};
use super::taking_back::nodes_of;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Take back an upgrade that is not finished
///
/// Nodes that the upgrade has changed become again what they were: programs, units, containerd's settings, kubelet's configuration and static
/// pods, each node emptied, put back, Ready, and given back; workers first, then kubeadm's configuration and add-ons in the cluster, then
/// the control planes. Nothing that was written to the cluster is lost. Run again it finishes what was cut off. `--dry-run` shows the plan.
///
/// Refused (ONE_WAY) where the upgrade is finished, or where all members of etcd run a newer minor version: then forward is left, or a backup.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// What taking back came to.
#[derive(Serialize)]
struct Outcome {
    cluster: String,
    /// What the cluster is again.
    version: String,
    /// The nodes that were changed back.
    nodes: Vec<String>,
    /// Steps that changed something.
    changed: usize,
}

pub fn run(args: &RollbackArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let mut rollback = plan(&target, args, context)?;
    context.ui.note(what(&rollback));
    if context.dry_run {
        return show(&rollback.planned, context);
    }
    review(&rollback.planned, "Take this upgrade back?", context)?;
    let (started, mut changed, mut nodes) = (Instant::now(), 0, Vec::new());
    loop {
        let operator = target.operator_now(context)?;
        changed += carry_out(&operator, &rollback.planned, context)?.changed;
        let more = nodes_of(&rollback.planned.plan).into_iter().map(str::to_owned);
        let more: Vec<String> = more.filter(|node| !nodes.contains(node)).collect();
        nodes.extend(more);
        if !rollback.is_first_part {
            operator.close_taken_back()?;
            break;
        }
        rollback = plan(&target, args, context)?;
        context.ui.note(print(&rollback.planned).brief());
    }
    let cluster = target.cluster.name().to_string();
    let text = format!(
        "cluster {cluster} runs Kubernetes {} again, and no upgrade is open: {changed} steps changed something, in {}",
        rollback.version,
        took(started.elapsed())
    );
    let written = target.cluster.spec().kubernetes.version.to_string();
    let outcome = Outcome { cluster, version: rollback.version, nodes, changed };
    context.ui.result(&outcome, text)?;
    if written != outcome.version {
        let (version, file) = (&outcome.version, args.target.file.display());
        context.ui.note(format_args!("write `version: {version}` into {file}: until then `cluster apply` is refused"));
    }
    Ok(())
}

fn plan(target: &Target, args: &RollbackArgs, context: &Context) -> Result<Rollback> {
    let rollback = context
        .runtime()?
        .block_on(target.operator().plan_rollback(&target.cluster, draining(args, &target.cluster)))?;
    target.check_mirrors(&rollback.planned, context)?;
    Ok(rollback)
}

fn what(rollback: &Rollback) -> String {
    let rest = "the API server does not answer: control planes go back first, and the rest is planned when it does";
    match &rollback.begun {
        Some(begun) if rollback.is_first_part => {
            format!("the upgrade to Kubernetes {begun} is taken back: {} again; {rest}", rollback.version)
        }
        Some(begun) => format!("the upgrade to Kubernetes {begun} is taken back: {} again", rollback.version),
        None => "the components that were brought to nodes are taken back".to_owned(),
    }
}

/// Each node for itself, whatever the spec says: a way back is looked at step by step.
fn draining(args: &RollbackArgs, cluster: &Cluster) -> Draining {
    args.how.waves(Some(NonZeroU16::MIN), &cluster.spec().upgrade)
}
