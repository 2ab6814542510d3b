//! `sealock release`

pub mod list;
pub mod receipt;
pub mod show;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Receipt(receipt::ReceiptArgs),
}

pub fn run(command: &ReleaseCommand, context: &Context) -> Result<()> {
    match command {
        ReleaseCommand::List(args) => list::run(args, context),
        ReleaseCommand::Show(args) => show::run(args, context),
        ReleaseCommand::Receipt(args) => receipt::run(args, context),
    }
}
