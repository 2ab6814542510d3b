//! `sealock cluster reset`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Return the hosts to what they were before
///
/// Everything that runs on the cluster, and its data, is gone afterwards.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(_args: &ResetArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
