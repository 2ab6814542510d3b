//! `sealock node etcd-claim`

use sealock_cluster::etcd::external::{self, Claimed, Content, Mark};
use sealock_cluster::etcd::machine::MachineError;
use sealock_node::{Local, facts};
use sealock_trust::reason::Code;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Mark an etcd that somebody else runs as the one that keeps the cluster which begins on this host
#[derive(Debug, clap::Args)]
pub struct EtcdClaimArgs {
    /// The cluster's name
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Where a member answers; may be given several times
    #[arg(long = "endpoint", value_name = "URL", required = true)]
    endpoints: Vec<String>,
}

pub fn run(args: &EtcdClaimArgs, context: &Context) -> Result<()> {
    let host = Local::new();
    let missing = || CommandError::failed("the cluster has no authority on this host yet");
    let ca_hash = facts::ca_hash(&host).map_err(MachineError::from)?.ok_or_else(missing)?;
    let endpoints = external::at(&host, &args.endpoints)?;
    let ours = Mark { cluster: args.cluster.clone(), ca_hash };
    match context.runtime()?.block_on(external::claim(&endpoints, &ours))? {
        Claimed::Ours => Ok(()),
        Claimed::Foreign(Content { mark: Some(mark), .. }) => Err(CommandError::refused(
            Code::Foreign,
            format!("etcd keeps cluster {}, which is not this one", mark.cluster),
        )),
        Claimed::Foreign(Content { keys, .. }) => Err(CommandError::refused(
            Code::Foreign,
            format!("etcd holds {keys} keys of a cluster that is not this one"),
        )),
    }
}
