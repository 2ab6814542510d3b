//! `sealock cluster cordon`

use sealock_cluster::nodes;
use serde::Serialize;

use super::running::{NodeArgs, Running};
use crate::context::Context;
use crate::error::Result;

/// Give a node no new pods
///
/// Pods that it has go on. `drain` takes them away, `uncordon` takes this back.
#[derive(Debug, clap::Args)]
pub struct CordonArgs {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Serialize)]
struct Outcome<'a> {
    node: &'a str,
    /// Whether it takes new pods.
    schedulable: bool,
}

pub fn run(args: &CordonArgs, context: &Context) -> Result<()> {
    set(&args.node, false, context)
}

/// Lets the node take new pods, or none.
pub(super) fn set(args: &NodeArgs, schedulable: bool, context: &Context) -> Result<()> {
    let running = Running::of_node(args, context)?;
    let node = args.host.as_str();
    let what = if schedulable { "new pods" } else { "no new pods" };
    if context.dry_run {
        context.ui.note(format_args!("{node} would take {what}; nothing was changed"));
        return Ok(());
    }
    let toolbox = running.toolbox();
    let (target, runtime) = (running.target(&toolbox), context.runtime()?);
    match schedulable {
        true => runtime.block_on(nodes::uncordon(node, &target))?,
        false => runtime.block_on(nodes::cordon(node, &target))?,
    }
    context.ui.result(&Outcome { node, schedulable }, format_args!("{node} takes {what}"))
}
