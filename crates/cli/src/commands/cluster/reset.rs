//! `sealock cluster reset`

use std::time::Instant;

use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// What becomes of an etcd that somebody else runs.
const STAYS: &str = "the external etcd and what the cluster keeps in it stay. `sealock cluster restore` makes a control plane over it again; \
    another cluster takes it once it is emptied, on a machine of etcd's: `etcdctl del --prefix /registry/`";

/// Return the hosts to what they were before
///
/// Everything that runs on the cluster, and its data, is gone afterwards. What is in an external etcd stays.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub fn run(args: &ResetArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let operator = target.operator();
    let planned = context.runtime()?.block_on(operator.plan_reset(&target.cluster))?;
    if !planned.unclaimed().is_empty() {
        context.ui.warn(format!("{}: claimed for nobody, and left as they are", planned.unclaimed().join(", ")));
    }
    let etcd = target.cluster.external_etcd();
    if etcd.is_some() {
        context.ui.note(STAYS);
    }
    if context.dry_run {
        return show(&planned, context);
    }
    let name = target.cluster.name();
    let question = match etcd {
        None => format!("Destroy cluster {name} with all its data?"),
        Some(_) => format!("Take cluster {name} off its hosts, with all data but what is in the external etcd?"),
    };
    review(&planned, &question, context)?;
    let started = Instant::now();
    let applied = carry_out(&operator, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = match outcome.changed {
        0 => format!("nothing to do: the hosts of cluster {} are free", outcome.cluster),
        _ => format!("the hosts of cluster {} are what they were, in {}", outcome.cluster, took(started.elapsed())),
    };
    context.ui.result(&outcome, text)
}
