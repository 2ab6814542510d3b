//! `sealock app`

pub mod apply;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum AppCommand {
    Apply(apply::ApplyArgs),
}

pub fn run(command: &AppCommand, context: &Context) -> Result<()> {
    match command {
        AppCommand::Apply(args) => apply::run(args, context),
    }
}
