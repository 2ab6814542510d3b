//! `sealock inspect`

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show what a bundle says it holds, without believing it
///
/// Reads the header only, so it takes no longer for a large bundle. `sealock verify` checks every byte.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The bundle
    bundle: PathBuf,
    /// List every artifact with its digest
    #[arg(short, long)]
    long: bool,
}

pub fn run(_args: &InspectArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
