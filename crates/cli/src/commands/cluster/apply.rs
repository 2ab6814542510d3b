//! `sealock cluster apply`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Bring the hosts to what the spec says
///
/// Plans, shows the plan, asks, and runs it step by step, journaled here and on the nodes. Run again it finishes what
/// was cut off, and changes nothing when all is done.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
    /// Run exactly this plan, made by `cluster plan --save`; refused where spec, release or hosts changed since
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub fn run(_args: &ApplyArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
