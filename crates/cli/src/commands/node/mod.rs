//! `sealock node`: this machine, prepared, made a node of a cluster, and upgraded, without a station; and, hidden, what a station runs on a node, which is not for people.

mod backup;
mod carry_out;
mod credential_provider;
mod gap;
mod init;
mod invite;
mod join;
mod local_proxy;
mod observe;
mod own_node;
mod prepare;
mod probe;
mod reset;
mod run;
mod status;
mod supply;
mod unpack;
mod upgrade;

use std::io::Write;
use std::process::ExitCode;

use sealock_node::Event;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    Prepare(prepare::PrepareArgs),
    Init(init::InitArgs),
    Invite(invite::InviteArgs),
    Join(join::JoinArgs),
    Upgrade(upgrade::UpgradeArgs),
    Status(status::StatusArgs),
    Reset(reset::ResetArgs),
    #[command(hide = true)]
    Observe(observe::ObserveArgs),
    #[command(hide = true)]
    Probe(probe::ProbeArgs),
    #[command(hide = true)]
    Run(run::RunArgs),
    #[command(hide = true)]
    Gap(gap::GapArgs),
    #[command(hide = true)]
    LocalProxy(local_proxy::LocalProxyArgs),
    #[command(hide = true)]
    CredentialProvider(credential_provider::CredentialProviderArgs),
    #[command(hide = true)]
    Backup(backup::BackupArgs),
    #[command(hide = true)]
    Unpack(unpack::UnpackArgs),
}

pub fn run(command: &NodeCommand, context: &Context) -> Result<ExitCode> {
    let done = match command {
        NodeCommand::Prepare(args) => prepare::run(args, context),
        NodeCommand::Init(args) => init::run(args, context),
        NodeCommand::Invite(args) => invite::run(args, context),
        NodeCommand::Join(args) => join::run(args, context),
        NodeCommand::Upgrade(args) => upgrade::run(args, context),
        NodeCommand::Status(args) => status::run(args, context),
        NodeCommand::Reset(args) => reset::run(args, context),
        NodeCommand::Observe(args) => observe::run(args, context),
        NodeCommand::Probe(args) => probe::run(args, context),
        NodeCommand::Run(args) => run::run(args, context),
        NodeCommand::Gap(args) => gap::run(args, context),
        NodeCommand::LocalProxy(args) => local_proxy::run(args, context),
        NodeCommand::CredentialProvider(args) => credential_provider::run(args, context),
        NodeCommand::Backup(args) => backup::run(args, context),
        NodeCommand::Unpack(args) => unpack::run(args, context),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Writes an event as one line of JSON. Whoever follows may be gone: the node goes on, since its journal has it too.
fn emit(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
