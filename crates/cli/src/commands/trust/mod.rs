//! `sealock trust`

mod ceremony;
pub mod confirm;
pub mod delegate;
mod describe;
pub mod enroll;
pub mod export;
mod finish;
pub mod init;
pub mod revocations;
pub mod revoke;
pub mod roles;
pub mod rotate;
pub mod show;
mod show_root;
pub mod sign;
pub mod target;
mod transcript;
pub mod vendors;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum TrustCommand {
    Init(init::InitArgs),
    Enroll(enroll::EnrollArgs),
    Revoke(revoke::RevokeArgs),
    Confirm(confirm::ConfirmArgs),
    Show(show::ShowArgs),
    Sign(sign::SignArgs),
    Export(export::ExportArgs),
    Rotate(rotate::RotateArgs),
    Delegate(delegate::DelegateArgs),
}

pub fn run(command: &TrustCommand, context: &Context) -> Result<()> {
    match command {
        TrustCommand::Init(args) => init::run(args, context),
        TrustCommand::Rotate(args) => rotate::run(args, context),
        TrustCommand::Delegate(args) => delegate::run(args, context),
        TrustCommand::Enroll(args) => enroll::run(args, context),
        TrustCommand::Revoke(args) => revoke::run(args, context),
        TrustCommand::Confirm(args) => confirm::run(args, context),
        TrustCommand::Show(args) => show::run(args, context),
        TrustCommand::Sign(args) => sign::run(args, context),
        TrustCommand::Export(args) => export::run(args, context),
    }
}
