//! `sealock trust show`

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show the enrolled roots, and the newest bundle accepted of each stream
#[derive(Debug, clap::Args)]
pub struct ShowArgs {}

pub fn run(_args: &ShowArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
