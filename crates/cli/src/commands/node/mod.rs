//! `sealock node`

use std::process::ExitCode;

use crate::context::Context;
use crate::error::{CommandError, Result};

#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    Run,
}

pub fn run(_command: &NodeCommand, _context: &Context) -> Result<ExitCode> {
    Err(CommandError::internal("not wired"))
}
