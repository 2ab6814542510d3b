//! `sealock cluster uncordon`

use super::cordon::Outcome;
use super::running::{NodeArgs, Running};
use crate::context::Context;
use crate::error::Result;

/// Give a node new pods again
#[derive(Debug, clap::Args)]
pub struct UncordonArgs {
    #[command(flatten)]
    node: NodeArgs,
}

pub fn run(args: &UncordonArgs, context: &Context) -> Result<()> {
    let running = Running::of_node(&args.node, context)?;
    let node = args.node.host.as_str();
    if context.dry_run {
        context.ui.note(format_args!("{node} would take new pods; nothing was changed"));
        return Ok(());
    }
    let toolbox = running.toolbox();
    context.runtime()?.block_on(sealock_cluster::nodes::uncordon(node, &running.target(&toolbox)))?;
    context.ui.result(&Outcome { node, schedulable: true }, format_args!("{node} takes new pods"))
}
