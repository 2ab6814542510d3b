//! `sealock release show`

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show one release: its streams and everything it names
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The release [default: the current one]
    number: Option<u64>,
}

pub fn run(_args: &ShowArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
