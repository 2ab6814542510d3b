//! `sealock gap check`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Try to get out, from every node and from inside a pod
///
/// Each probe first reaches a control of the same kind inside the site, so that silence is not mistaken for a block.
/// Exit code 3 where anything gets out.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(_args: &CheckArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
