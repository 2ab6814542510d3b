//! The node that this machine is to be: flags that `init` and `join` share.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sealock_cluster::machine::{MachineError, OwnNode};
use sealock_cluster::spec::{Name, Overrides};
use sealock_node::host::{self, Host};
use sealock_node::{HostFacts, Local};

use crate::error::{CommandError, Result};
use crate::files;

const KUBELET_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";

#[derive(Debug, clap::Args)]
pub struct OwnNodeArgs {
    /// The node's name [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<Name>,
    /// This machine's address on the segment that the nodes share: kubelet's, and where its API server is reached [default: the only
    /// one that it has; on a machine that has begun, the one that kubelet has]
    #[arg(long = "apiserver-advertise-address", visible_alias = "node-ip", value_name = "ADDRESS")]
    address: Option<Ipv4Addr>,
    /// Let a control plane take pods as a worker does
    #[arg(long)]
    run_pods: bool,
    /// What is done differently: the fields of `overrides` in a cluster spec
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
}

/// What the flags came to.
pub struct Own {
    pub name: Name,
    pub address: Ipv4Addr,
    pub overrides: Overrides,
    runs_pods: bool,
}

impl Own {
    pub fn node(&self) -> OwnNode<'_> {
        let Self { name, address, overrides, runs_pods } = self;
        OwnNode { name, address: *address, runs_pods: *runs_pods, overrides }
    }
}

impl OwnNodeArgs {
    /// # Errors
    /// The machine's host name is no name of a node, or it has not exactly one address; the overrides are none.
    pub fn read(&self, facts: &HostFacts) -> Result<Own> {
        let name = match &self.node_name {
            Some(name) => name.clone(),
            None => facts.hostname.parse().map_err(|error| {
                CommandError::usage(format!("this machine's host name cannot be a node's: {error}"))
                    .hint("Name the node: --node-name.")
            })?,
        };
        let address = self.address.map_or_else(|| only_address(facts), Ok)?;
        Ok(Own { name, address, overrides: overrides(self.overrides.as_deref())?, runs_pods: self.run_pods })
    }
}

fn only_address(facts: &HostFacts) -> Result<Ipv4Addr> {
    let addresses = facts.network.addresses.iter().filter_map(|address| address.split('/').next()?.parse().ok());
    match addresses.collect::<Vec<Ipv4Addr>>().as_slice() {
        [only] => Ok(*only),
        [] => Err(CommandError::usage("this machine has no IPv4 address")),
        several => {
            if let Some(begun) = told_kubelet(&Local::new())?.filter(|begun| several.contains(begun)) {
                return Ok(begun);
            }
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            let problem = format!("this machine has several addresses: {}", several.join(", "));
            Err(CommandError::usage(problem).hint("Name the one that the nodes share: --apiserver-advertise-address."))
        }
    }
}

/// The address that kubeadm told kubelet on a machine that has begun: a pod network brings addresses of its own.
fn told_kubelet(host: &dyn Host) -> Result<Option<Ipv4Addr>> {
    let flags = host::read_text(host, KUBELET_FLAGS).map_err(MachineError::from)?;
    Ok(flags.as_deref().and_then(node_ip_in))
}

fn node_ip_in(flags: &str) -> Option<Ipv4Addr> {
    let (_, rest) = flags.split_once("--node-ip=")?;
    rest.split([' ', '"', '\n']).next()?.parse().ok()
}

/// The overrides of the file at `path`, or none.
///
/// # Errors
/// The file cannot be read, or holds no overrides.
pub fn overrides(path: Option<&Path>) -> Result<Overrides> {
    let Some(path) = path else { return Ok(Overrides::default()) };
    let text = files::read_text(path)?;
    Ok(Overrides::from_yaml(&text).map_err(|source| MachineError::Overrides { path: path.to_owned(), source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_begun_keeps_its_address() {
        let told = |flags: &str| {
            let root = tempfile::tempdir().expect("a folder");
            let path = root.path().join(KUBELET_FLAGS.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, flags).expect("a file");
            told_kubelet(&Local::rooted(root.path())).expect("an answer")
        };
        let line = "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///c.sock --node-ip=10.77.0.11\"\n";
        assert_eq!(told(line), Some(Ipv4Addr::new(10, 77, 0, 11)));
        assert_eq!(told("KUBELET_KUBEADM_ARGS=\"--node-ip=10.77.0.12 --v=2\"\n"), Some(Ipv4Addr::new(10, 77, 0, 12)));
        assert_eq!(told("KUBELET_KUBEADM_ARGS=\"\"\n"), None);
        assert_eq!(told_kubelet(&Local::rooted("/nowhere")).expect("an answer"), None);
    }
}
