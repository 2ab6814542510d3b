//! `sealock app`

pub mod apply;
mod bound;
pub mod diff;
pub mod history;
mod known;
pub mod list;
pub mod remove;
pub mod rollback;
mod told;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum AppCommand {
    Apply(apply::ApplyArgs),
    Diff(diff::DiffArgs),
    List(list::ListArgs),
    History(history::HistoryArgs),
    Rollback(rollback::RollbackArgs),
    Remove(remove::RemoveArgs),
}

pub fn run(command: &AppCommand, context: &Context) -> Result<()> {
    match command {
        AppCommand::Apply(args) => apply::run(args, context),
        AppCommand::Diff(args) => diff::run(args, context),
        AppCommand::List(args) => list::run(args, context),
        AppCommand::History(args) => history::run(args, context),
        AppCommand::Rollback(args) => rollback::run(args, context),
        AppCommand::Remove(args) => remove::run(args, context),
    }
}
