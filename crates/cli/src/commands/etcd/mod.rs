//! `sealock etcd`

mod carry_out;
pub mod defrag;
pub mod downgrade;
pub mod info;
pub mod init;
pub mod join;
mod member;
pub mod move_leader;
mod programs;
pub mod remove;
pub mod reset;
pub mod restore;
pub mod snapshot;
pub mod status;
mod target;

pub use target::{CONFIG, DATA};

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum EtcdCommand {
    Init(init::InitArgs),
    Join(join::JoinArgs),
    Remove(remove::RemoveArgs),
    Reset(reset::ResetArgs),
    Info(info::InfoArgs),
    Snapshot(snapshot::SnapshotArgs),
    Restore(restore::RestoreArgs),
    Status(status::StatusArgs),
    Defrag(defrag::DefragArgs),
    MoveLeader(move_leader::MoveLeaderArgs),
    Downgrade(downgrade::DowngradeArgs),
}

pub fn run(command: &EtcdCommand, context: &Context) -> Result<()> {
    match command {
        EtcdCommand::Init(args) => init::run(args, context),
        EtcdCommand::Join(args) => join::run(args, context),
        EtcdCommand::Remove(args) => remove::run(args, context),
        EtcdCommand::Reset(args) => reset::run(args, context),
        EtcdCommand::Info(args) => info::run(args, context),
        EtcdCommand::Snapshot(args) => snapshot::run(args, context),
        EtcdCommand::Restore(args) => restore::run(args, context),
        EtcdCommand::Status(args) => status::run(args, context),
        EtcdCommand::Defrag(args) => defrag::run(args, context),
        EtcdCommand::MoveLeader(args) => move_leader::run(args, context),
        EtcdCommand::Downgrade(args) => downgrade::run(args, context),
    }
}
