//! One file per command: its arguments, what it does, what it shows.

pub mod app;
mod backup_age;
mod backup_drill;
mod backup_file;
mod backup_folder;
#[cfg(feature = "outside")]
pub mod build;
pub mod cluster;
pub mod completion;
#[cfg(feature = "outside")]
pub mod convert;
pub mod diff;
pub mod docs;
pub mod etcd;
pub mod explain;
pub mod gap;
pub mod import;
#[cfg(feature = "outside")]
pub mod init;
pub mod inspect;
#[cfg(feature = "outside")]
pub mod lock;
mod machine_steps;
pub mod node;
#[cfg(feature = "outside")]
pub mod parameters;
pub mod registry;
pub mod release;
pub mod repair;
pub mod send;
pub mod serve;
pub mod site;
pub mod source;
pub mod store;
pub mod trust;
pub mod verify;
pub mod version;

use std::process::ExitCode;

use crate::args::Command;
use crate::context::Context;
use crate::error::Result;

/// Runs one command. Most answer by having worked; some have an exit code of their own.
pub fn run(command: Command, context: &Context) -> Result<ExitCode> {
    let done = match command {
        #[cfg(feature = "outside")]
        Command::Init(args) => init::run(&args, context),
        #[cfg(feature = "outside")]
        Command::Lock(args) => lock::run(&args, context),
        #[cfg(feature = "outside")]
        Command::Build(args) => build::run(&args, context),
        #[cfg(feature = "outside")]
        Command::Convert(args) => convert::run(&args, context),
        Command::Inspect(args) => inspect::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Diff(args) => return diff::run(&args, context),
        Command::Send(args) => send::run(&args, context),
        Command::Repair(args) => repair::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Trust(command) => trust::run(&command, context),
        Command::Site(command) => site::run(&command, context),
        Command::Import(args) => import::run(&args, context),
        Command::Registry(command) => registry::run(&command, context),
        Command::Release(command) => release::run(&command, context),
        Command::Store(command) => store::run(&command, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Cluster(command) => cluster::run(&command, context),
        Command::Etcd(command) => etcd::run(&command, context),
        Command::App(command) => app::run(&command, context),
        Command::Gap(command) => gap::run(&command, context),
        Command::Completion(args) => completion::run(&args, context),
        Command::Version(args) => version::run(&args, context),
        Command::Node(command) => return node::run(&command, context),
        Command::Docs(args) => docs::run(&args, context),
    };
    done.map(|()| ExitCode::SUCCESS)
}
