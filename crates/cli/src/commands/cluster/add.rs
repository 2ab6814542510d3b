//! `sealock cluster add`

use std::path::PathBuf;
use std::time::Instant;

use sealock_trust::Digest;
use serde::Serialize;

use super::carry_out::{carry_out, digest, review};
use super::plan::{hosts, show};
use super::running::check_host;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// Take hosts into the cluster, and change nothing else
///
/// The hosts stand in the spec. They are made ready and join, control planes one after the other; the others are told of them. It is what
/// `cluster apply` does, but refused where that would change something else, too, with a list of it. Cut off anywhere, the same again goes on.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Hosts, as the spec calls them
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
}

/// What adding came to.
#[derive(Serialize)]
struct Outcome<'a> {
    cluster: String,
    hosts: &'a [String],
    plan: Digest,
    /// Steps that changed something.
    changed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
}

pub fn run(args: &AddArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    for host in &args.hosts {
        check_host(&target.cluster, host, &args.target.file)?;
    }
    let planned = context.runtime()?.block_on(target.operator().plan_addition(&target.cluster, &args.hosts))?;
    target.check_mirrors(&planned, context)?;
    if context.dry_run {
        return show(&planned, context);
    }
    hosts(&planned, context);
    review(&planned, "Take in?", context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let names = args.hosts.join(" and ");
    let are = if args.hosts.len() == 1 { "is" } else { "are" };
    let outcome = Outcome {
        cluster: target.cluster.name().to_string(),
        hosts: &args.hosts,
        plan: digest(&planned)?,
        changed: applied.changed,
        kubeconfig: applied.kubeconfig,
    };
    let text = match outcome.changed {
        0 => format!("nothing to do: {names} {are} in cluster {} already", outcome.cluster),
        changed => format!(
            "{names} {are} in cluster {}: {changed} steps changed something, in {}",
            outcome.cluster,
            took(started.elapsed())
        ),
    };
    context.ui.result(&outcome, text)
}
