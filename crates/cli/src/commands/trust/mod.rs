//! `sealock trust`

pub mod enroll;
pub mod show;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum TrustCommand {
    Enroll(enroll::EnrollArgs),
    Show(show::ShowArgs),
}

pub fn run(command: &TrustCommand, context: &Context) -> Result<()> {
    match command {
        TrustCommand::Enroll(args) => enroll::run(args, context),
        TrustCommand::Show(args) => show::run(args, context),
    }
}
