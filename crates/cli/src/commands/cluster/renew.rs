//! `sealock cluster renew`

use std::time::Instant;

use sealock_trust::Digest;
use serde::Serialize;

use super::carry_out::{carry_out, digest, review};
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

#[derive(Serialize)]
struct Outcome {
    cluster: String,
    plan: Digest,
    /// Control planes whose certificates are new.
    changed: usize,
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
    let cluster = target.cluster.name().to_string();
    let outcome = Outcome { cluster, plan: digest(&planned)?, changed: applied.changed };
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
