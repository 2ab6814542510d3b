//! `sealock cluster renew`

use std::time::Instant;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Make the certificates of the control planes anew, and start what uses them anew
///
/// One control plane after the other. Done means that etcd and the API server show the new certificates to whoever connects. kubelets
/// renew theirs by themselves, and authorities stay. Run again it finishes what was cut off.
#[derive(Debug, clap::Args)]
pub struct RenewArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub fn run(args: &RenewArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
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
        changed => format!(
            "cluster {} serves new certificates: {changed} control planes, in {}",
            outcome.cluster,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}
