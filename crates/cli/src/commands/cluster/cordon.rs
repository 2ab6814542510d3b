//! `sealock cluster cordon`

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
pub struct Outcome<'a> {
    pub node: &'a str,
    /// Whether it takes new pods.
    pub schedulable: bool,
}

pub fn run(args: &CordonArgs, context: &Context) -> Result<()> {
    let running = Running::of_node(&args.node, context)?;
    let node = args.node.host.as_str();
    if context.dry_run {
        context.ui.note(format_args!("{node} would take no new pods; nothing was changed"));
        return Ok(());
    }
    let toolbox = running.toolbox();
    context.runtime()?.block_on(sealock_cluster::nodes::cordon(node, &running.target(&toolbox)))?;
    context.ui.result(&Outcome { node, schedulable: false }, format_args!("{node} takes no new pods"))
}
