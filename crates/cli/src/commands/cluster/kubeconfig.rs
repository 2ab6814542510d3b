//! `sealock cluster kubeconfig`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Write the cluster's administrator kubeconfig to standard output
///
/// Whoever holds it may do everything on the cluster.
#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(_args: &KubeconfigArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
