//! `sealock cluster plan`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show what it takes to bring the hosts to what the spec says
///
/// Looks at every host over SSH, changes nothing, and prints the ordered steps. `-o json` prints the plan itself, bound
/// by its digest to spec, release and what was found.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
    /// Also write the plan to this file, for `cluster apply --plan`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub fn run(_args: &PlanArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
