//! `sealock node init`

use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use sealock_cluster::machine::{self, Founding, Means};
use sealock_cluster::spec::{Cni, Endpoint, Name, Network};
use sealock_node::{Local, facts, runner};

use super::carry_out::carry_out;
use super::invite;
use super::own_node::OwnNodeArgs;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Begin a cluster on this machine: its first control plane
///
/// After `node prepare --control-plane`, and in the version that it prepared. kubeadm's phases are steps of a plan: looked at first, kept
/// in a journal, and gone on with when the command is run again. It ends when the API server answers and the node is registered. The pod
/// network is not part of it.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The cluster's name
    #[arg(long, value_name = "NAME", default_value = "kubernetes")]
    cluster_name: Name,
    /// Where the API is reached; for further control planes it must be none's own [default: this machine's address, port 6443]
    #[arg(long, value_name = "HOST:PORT")]
    control_plane_endpoint: Option<Endpoint>,
    /// The addresses of all pods
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16")]
    pod_network_cidr: Ipv4Net,
    /// The addresses of all Services
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/12")]
    service_cidr: Ipv4Net,
    /// The domain of the cluster's own names
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    service_dns_domain: String,
    /// Further names and addresses for the API server's certificate
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    apiserver_cert_extra_sans: Vec<String>,
    #[command(flatten)]
    own: OwnNodeArgs,
    /// Write what the next machine needs into a new file, as `node invite` does
    #[arg(long, value_name = "FILE")]
    join_file: Option<PathBuf>,
}

pub fn run(args: &InitArgs, context: &Context) -> Result<()> {
    if let Some(file) = args.join_file.as_deref() {
        invite::check_new(file)?;
    }
    let facts = facts::observe(&Local::new(), Path::new(runner::FOLDER))?;
    let own = args.own.read(&facts)?;
    let endpoint = match &args.control_plane_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => format!("{}:6443", own.address).parse().map_err(|_| CommandError::usage("no endpoint"))?,
    };
    let network = Network {
        pods: args.pod_network_cidr,
        services: args.service_cidr,
        dns_domain: args.service_dns_domain.clone(),
        cni: Cni::None,
        ..Network::default()
    };
    let founding = Founding {
        name: &args.cluster_name,
        endpoint: &endpoint,
        cert_sans: &args.apiserver_cert_extra_sans,
        network: &network,
    };
    let plan = machine::init(&founding, &own.node(), &facts)?;
    let question = format!("Begin cluster {} on this machine?", args.cluster_name);
    let done = format!("cluster {} is reached at {endpoint}, and node {} is registered", args.cluster_name, own.name);
    carry_out(&plan, Means::default(), (&question, &done), context)?;
    if let Some(path) = args.join_file.as_deref().filter(|_| !context.dry_run) {
        let file = invite::write(path, (false, invite::HOURS), context)?;
        context.ui.note(invite::words(path, &file));
    }
    Ok(())
}
