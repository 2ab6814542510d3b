//! `sealock node join`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_cluster::machine::{self, JoinFile, MAX_JOIN_FILE, MachineError, Means};
use sealock_node::{Local, facts, runner};

use super::carry_out::carry_out;
use super::own_node::OwnNodeArgs;
use crate::context::Context;
use crate::error::Result;
use crate::files;

/// Make this machine a node of a cluster
///
/// After `node prepare` with the cluster's version, and by the file that `node invite` wrote on a control plane. kubeadm's phases are steps of
/// a plan: looked at first, kept in a journal, and gone on with when the command is run again, with another join file where the first has
/// ended. A control plane's member of etcd has no vote until it has caught up; the command ends when it votes.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// What `sealock node invite` wrote
    #[arg(long, value_name = "FILE")]
    join_file: PathBuf,
    /// By what the cluster must be known, as `invite` showed it: sha256:…; another one is refused
    #[arg(long, value_name = "HASH")]
    ca_hash: Option<String>,
    /// As a further control plane
    #[arg(long)]
    control_plane: bool,
    #[command(flatten)]
    own: OwnNodeArgs,
}

pub fn run(args: &JoinArgs, context: &Context) -> Result<()> {
    let file =
        JoinFile::from_json(&files::read_carried(&args.join_file, MAX_JOIN_FILE)?).map_err(MachineError::from)?;
    args.ca_hash.as_deref().map_or(Ok(()), |named| file.check_hash(named)).map_err(MachineError::from)?;
    let facts = facts::observe(&Local::new(), Path::new(runner::FOLDER))?;
    let own = args.own.read(&facts)?;
    let plan = machine::join(&file, &own.node(), args.control_plane, (&facts, Timestamp::now()))?;
    let what = if args.control_plane { "a control plane" } else { "a node" };
    let question = format!("Make this machine {what} of cluster {} at {}?", file.cluster, file.endpoint);
    let done = format!("this machine is {what} of cluster {}, as {}", file.cluster, own.name);
    let secrets = file.secrets();
    carry_out(&plan, Means { supply: None, secrets: Some(&secrets) }, (&question, &done), context)
}
