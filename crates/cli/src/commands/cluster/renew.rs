//! `sealock cluster renew`

use std::time::Instant;

use sealock_cluster::Plan;
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
            "cluster {} serves new certificates: {} control planes, in {}",
            outcome.cluster,
            renewed(&planned.plan),
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}

/// On how many control planes certificates are made anew.
fn renewed(plan: &Plan) -> usize {
    let steps = plan.tasks.iter().flat_map(|task| &task.steps);
    steps.filter(|step| matches!(step.action, StepKind::Renewal(_))).count()
}
