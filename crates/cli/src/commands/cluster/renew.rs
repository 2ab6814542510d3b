//! `sealock cluster renew`

use std::time::Instant;

use sealock_cluster::Plan;
use sealock_cluster::plan::Task;
use sealock_cluster::spec::Role;
use sealock_node::StepKind;

use super::authorities::{self, AuthoritiesArgs};
use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Make the certificates of the control planes anew, and start what uses them anew
///
/// Behind a snapshot of etcd, one control plane after the other. Done means that etcd and the API server show the new certificates to whoever connects. kubelets
/// renew theirs by themselves, and authorities stay. Run again it finishes what was cut off.
///
/// Where the keys of the authorities stay with your PKI, what it has signed is laid down, on the hosts that wait for it
/// (`cluster certificates request`), workers included. A worker that does not answer, and a host for which not all is signed, are passed
/// over and named: once they are there, the same again does the rest.
///
/// With `--authorities` the authorities are replaced by new ones, in three stages, each a plan of its own: `trust`, `issue`, and `drop`.
/// The cluster serves meanwhile.
#[derive(Debug, clap::Args)]
pub struct RenewArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    authorities: AuthoritiesArgs,
}

pub fn run(args: &RenewArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    if let Some(stage) = args.authorities.stage() {
        return authorities::run(&args.authorities, stage, (&target, context));
    }
    let operator = target.operator();
    let planned = context.runtime()?.block_on(operator.plan_renewal(&target.cluster))?;
    if context.dry_run {
        return show(&planned, context);
    }
    review(&planned, "Make these certificates anew?", context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = match outcome.changed {
        0 => format!(
            "an earlier run has made the certificates of cluster {} anew; run it again to make them anew once more",
            outcome.cluster
        ),
        _ => format!(
            "cluster {} serves new certificates: {}, in {}",
            outcome.cluster,
            renewed(&planned.plan),
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}

/// On how many hosts certificates are made anew: on workers that of kubelet, where nobody in the cluster signs it.
fn renewed(plan: &Plan) -> String {
    let is_plane = |task: &Task| plan.host(&task.host).is_some_and(|host| host.roles.contains(&Role::ControlPlane));
    let renews = |task: &&Task| {
        task.steps.iter().any(|step| matches!(step.action, StepKind::Renewal(_) | StepKind::KubeletCertificate(_)))
    };
    let (planes, workers): (Vec<&Task>, Vec<&Task>) = plan.tasks.iter().filter(renews).partition(|task| is_plane(task));
    let parts = [(planes.len(), "control plane"), (workers.len(), "worker")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    parts.map(|(number, what)| counted(number, what)).collect::<Vec<_>>().join(" and ")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
