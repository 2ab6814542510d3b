//! `sealock registry`

pub mod check;
pub mod password;
pub mod robot;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum RegistryCommand {
    Check(check::CheckArgs),
    Robot(robot::RobotArgs),
    Password(password::PasswordArgs),
}

pub fn run(command: &RegistryCommand, context: &Context) -> Result<()> {
    match command {
        RegistryCommand::Check(args) => check::run(args, context),
        RegistryCommand::Robot(args) => robot::run(args, context),
        RegistryCommand::Password(args) => password::run(args, context),
    }
}
