//! `sealock cluster rescue`

use std::time::Instant;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::running::check_host;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Bring a cluster back whose certificates have ended, as after a long time without power
///
/// No API server has to be up: the authorities lie on the control planes. Whatever has ended is made anew there, kubelets' own
/// certificates included, and the cluster is waited for. A host that does not answer any more is left out by `--without`, and taken out
/// of the cluster afterwards. Run again it finishes what was cut off.
#[derive(Debug, clap::Args)]
pub struct RescueArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Do without this host, which does not answer any more; may be repeated
    #[arg(long, value_name = "HOST")]
    without: Vec<String>,
}

pub fn run(args: &RescueArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let mut cluster = target.cluster.clone();
    for host in &args.without {
        check_host(&cluster, host, &args.target.file)?;
        cluster = cluster.without(host);
    }
    let planned = context.runtime()?.block_on(target.operator().plan_rescue(&cluster))?;
    if context.dry_run {
        return show(&planned, context);
    }
    review(&planned, "Bring this cluster back?", context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = format!("cluster {} is back, in {}", outcome.cluster, took(started.elapsed()));
    context.ui.result(&outcome, text)
}
