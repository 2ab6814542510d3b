//! `sealock gap`

pub mod check;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum GapCommand {
    Check(check::CheckArgs),
}

pub fn run(command: &GapCommand, context: &Context) -> Result<()> {
    match command {
        GapCommand::Check(args) => check::run(args, context),
    }
}
