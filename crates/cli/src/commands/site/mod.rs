//! `sealock site`

pub mod backup;
pub mod break_glass;
pub mod certificate;
pub mod drill;
pub mod init;
mod people;
pub mod recovery_key;
pub mod resolve_state;
pub mod restore;
pub mod show;
pub mod state;
pub mod update;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum SiteCommand {
    Init(init::InitArgs),
    Show(show::ShowArgs),
    State(state::StateArgs),
    ResolveState(resolve_state::ResolveStateArgs),
    BreakGlass(break_glass::BreakGlassArgs),
    Update(update::UpdateArgs),
    RecoveryKey(recovery_key::RecoveryKeyArgs),
    Backup(backup::BackupArgs),
    Drill(drill::DrillArgs),
    Restore(restore::RestoreArgs),
}

pub fn run(command: &SiteCommand, context: &Context) -> Result<()> {
    match command {
        SiteCommand::Init(args) => init::run(args, context),
        SiteCommand::Show(args) => show::run(args, context),
        SiteCommand::State(args) => state::run(args, context),
        SiteCommand::ResolveState(args) => resolve_state::run(args, context),
        SiteCommand::BreakGlass(args) => break_glass::run(args, context),
        SiteCommand::Update(args) => update::run(args, context),
        SiteCommand::RecoveryKey(args) => recovery_key::run(args, context),
        SiteCommand::Backup(args) => backup::run(args, context),
        SiteCommand::Drill(args) => drill::run(args, context),
        SiteCommand::Restore(args) => restore::run(args, context),
    }
}
