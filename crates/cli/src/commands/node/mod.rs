//! `sealock node`: what the station runs on a node. Not for people, and not documented for them.

mod backup;
mod credential_provider;
mod gap;
mod local_proxy;
mod observe;
mod probe;
mod run;
mod unpack;

use std::io::Write;
use std::process::ExitCode;

use sealock_node::Event;

use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    Observe(observe::ObserveArgs),
    Probe(probe::ProbeArgs),
    Run(run::RunArgs),
    Gap(gap::GapArgs),
    LocalProxy(local_proxy::LocalProxyArgs),
    CredentialProvider(credential_provider::CredentialProviderArgs),
    Backup(backup::BackupArgs),
    Unpack(unpack::UnpackArgs),
}

pub fn run(command: &NodeCommand, context: &Context) -> Result<ExitCode> {
    let done = match command {
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
