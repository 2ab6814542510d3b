//! `sealock site`

pub mod certificate;
pub mod init;
pub mod show;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum SiteCommand {
    Init(init::InitArgs),
    Show(show::ShowArgs),
}

pub fn run(command: &SiteCommand, context: &Context) -> Result<()> {
    match command {
        SiteCommand::Init(args) => init::run(args, context),
        SiteCommand::Show(args) => show::run(args, context),
    }
}
