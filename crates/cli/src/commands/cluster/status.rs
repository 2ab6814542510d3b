//! `sealock cluster status`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show what the hosts and the cluster are like now
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(_args: &StatusArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
