//! `sealock site show`

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Show the site: its id, fingerprint, keys and registry
#[derive(Debug, clap::Args)]
pub struct ShowArgs {}

pub fn run(_args: &ShowArgs, _context: &Context) -> Result<()> {
    Err(CommandError::internal("not wired"))
}
