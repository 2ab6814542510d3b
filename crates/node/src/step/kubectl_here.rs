//! kubectl with the rights that the host has: on a control plane those of the cluster's administrator, and elsewhere those of its own
//! node, which may look at itself, take no new pods, and evict what runs on it (the node authorizer of Kubernetes).

use super::kubeadm::{NO_CACHE, kubectl};
use crate::host::{self, Command, Host, HostError};

const ADMIN: &str = "/etc/kubernetes/admin.conf";
const NODE: &str = "/etc/kubernetes/kubelet.conf";

/// kubectl on `host`.
pub(crate) fn kubectl_here<'a>(host: &dyn Host, args: impl IntoIterator<Item = &'a str>) -> Result<Command, HostError> {
    if !speaks_as_node(host)? {
        return Ok(kubectl(args));
    }
    let flags = ["--request-timeout", "10s", "--kubeconfig", NODE, "--cache-dir", NO_CACHE];
    Ok(Command::new("kubectl", flags.into_iter().chain(args)))
}

/// Whether the host has no more than the rights of its own node.
pub(crate) fn speaks_as_node(host: &dyn Host) -> Result<bool, HostError> {
    Ok(!host::exists(host, ADMIN)? && host::exists(host, NODE)?)
}
