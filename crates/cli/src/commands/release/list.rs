//! `sealock release list`

use crate::context::Context;
use crate::error::{CommandError, Result};

/// List the releases, the newest first
#[derive(Debug, clap::Args)]
pub struct ListArgs {}

pub fn run(_args: &ListArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
