//! `sealock trust`

mod describe;
pub mod enroll;
pub mod export;
mod finish;
pub mod show;
pub mod sign;
pub mod target;
mod transcript;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum TrustCommand {
    Enroll(enroll::EnrollArgs),
    Show(show::ShowArgs),
    Sign(sign::SignArgs),
    Export(export::ExportArgs),
}

pub fn run(command: &TrustCommand, context: &Context) -> Result<()> {
    match command {
        TrustCommand::Enroll(args) => enroll::run(args, context),
        TrustCommand::Show(args) => show::run(args, context),
        TrustCommand::Sign(args) => sign::run(args, context),
        TrustCommand::Export(args) => export::run(args, context),
    }
}
