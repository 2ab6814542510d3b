//! `sealock cluster uncordon`

use super::cordon;
use super::running::NodeArgs;
use crate::context::Context;
use crate::error::Result;

/// Give a node new pods again
#[derive(Debug, clap::Args)]
pub struct UncordonArgs {
    #[command(flatten)]
    node: NodeArgs,
}

pub fn run(args: &UncordonArgs, context: &Context) -> Result<()> {
    cordon::set(&args.node, true, context)
}
