//! `sealock node local-proxy`

use std::net::SocketAddr;
use std::path::PathBuf;

use sealock_node::local_proxy::{LocalProxy, Seen};

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Give every API server of the cluster one address on this node
#[derive(Debug, clap::Args)]
pub struct LocalProxyArgs {
    /// An address of loopback with a port
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// An API server
    #[arg(long = "server", value_name = "ADDRESS:PORT", required = true)]
    servers: Vec<SocketAddr>,
    /// The certificate of the cluster's authority, by which they are asked whether they are ready
    #[arg(long, value_name = "FILE", default_value = "/etc/kubernetes/pki/ca.crt")]
    ca: PathBuf,
}

pub fn run(args: &LocalProxyArgs, context: &Context) -> Result<()> {
    let proxy = LocalProxy::bind(args.listen, &args.servers, &args.ca)
        .map_err(|error| CommandError::from(error).context(format!("listening on {}", args.listen)))?;
    context.ui.note(format_args!("listening on {}", args.listen));
    proxy.run(&|seen| match seen {
        Seen::Down(server) => context.ui.warn(format_args!("{server} takes no connections")),
        Seen::Up(server) => context.ui.note(format_args!("{server} takes connections again")),
        Seen::Unready(server) => context.ui.warn(format_args!("{server} is not ready")),
        Seen::Ready(server) => context.ui.note(format_args!("{server} is ready again")),
        Seen::NobodyAnswers => context.ui.warn("no API server takes connections"),
        Seen::Full => context.ui.warn("there are too many connections: one was closed"),
    })
}
