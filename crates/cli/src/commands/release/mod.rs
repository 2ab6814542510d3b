//! `sealock release`

pub mod list;
pub mod receipt;
pub mod retire;
pub mod rollback;
pub mod show;
pub mod unhold;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Receipt(receipt::ReceiptArgs),
    Rollback(rollback::RollbackArgs),
    Unhold(unhold::UnholdArgs),
    Retire(retire::RetireArgs),
    Pin(retire::PinArgs),
    Unpin(retire::UnpinArgs),
}

pub fn run(command: &ReleaseCommand, context: &Context) -> Result<()> {
    match command {
        ReleaseCommand::List(args) => list::run(args, context),
        ReleaseCommand::Show(args) => show::run(args, context),
        ReleaseCommand::Receipt(args) => receipt::run(args, context),
        ReleaseCommand::Rollback(args) => rollback::run(args, context),
        ReleaseCommand::Unhold(args) => unhold::run(args, context),
        ReleaseCommand::Retire(args) => retire::retire(args, context),
        ReleaseCommand::Pin(args) => retire::pin(args, context),
        ReleaseCommand::Unpin(args) => retire::unpin(args, context),
    }
}
