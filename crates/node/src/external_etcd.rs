//! An etcd that the control planes of a cluster share and that is on none of them: where it is, and what an API server shows to it.
//!
//! Where the state is, the API server's own manifest says: nothing beside it could be more or less true.

use crate::host::{self, Host, HostError};

/// The certificates of which one issued those of etcd's members, on a control plane host.
pub const AUTHORITY: &str = "/etc/kubernetes/pki/etcd-external/ca.crt";
/// The certificate that is shown to etcd.
pub const CERTIFICATE: &str = "/etc/kubernetes/pki/etcd-external/client.crt";
/// The private key to it.
pub const KEY: &str = "/etc/kubernetes/pki/etcd-external/client.key";
/// The name of the secret that is that key.
pub const KEY_SECRET: &str = "etcd-client-key";

/// Where kubeadm has the API server write.
pub const PREFIX: &str = "/registry/";

pub(crate) const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const SERVERS: &str = "--etcd-servers=";
/// A member on the control plane itself, as kubeadm writes it.
const OWN: [&str; 3] = ["https://127.0.0.1:2379", "https://[::1]:2379", "https://localhost:2379"];

/// Where the API server of this host keeps the cluster's state; nothing where there is no API server.
///
/// # Errors
/// The host does not let its manifest be read.
pub fn servers(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let manifest = host::read_text(host, API_SERVER)?.unwrap_or_default();
    Ok(named_in(&manifest))
}

/// The same where that is on none of the cluster's control planes; nothing where each of them has a member.
///
/// # Errors
/// As [`servers`].
pub fn external_servers(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let servers = servers(host)?;
    Ok(if is_elsewhere(&servers) { servers } else { Vec::new() })
}

/// Whether the API server of this host keeps the cluster's state on machines that are not its control planes.
///
/// # Errors
/// As [`servers`].
pub(crate) fn is_external(host: &dyn Host) -> Result<bool, HostError> {
    Ok(is_elsewhere(&servers(host)?))
}

/// Whether an API server that keeps its state at `servers` has no member of etcd beside it.
pub fn is_elsewhere(servers: &[String]) -> bool {
    servers.iter().any(|server| !OWN.contains(&server.as_str()))
}

/// kubeadm writes one argument a line.
fn named_in(manifest: &str) -> Vec<String> {
    let arguments = manifest.lines().map(|line| line.trim().trim_start_matches("- ").trim_matches(['"', '\'']));
    let said = arguments.filter_map(|argument| argument.strip_prefix(SERVERS)).next_back().unwrap_or_default();
    said.split(',').map(str::trim).filter(|server| !server.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_of_an_api_server_says_where_the_state_is() {
        let manifest = |line: &str| {
            format!("spec:\n  containers:\n  - command:\n    - kube-apiserver\n{line}\n    - --secure-port=6443\n")
        };
        let own = named_in(&manifest("    - --etcd-servers=https://127.0.0.1:2379"));
        assert_eq!(own, ["https://127.0.0.1:2379"]);
        assert!(!is_elsewhere(&own));
        let external = named_in(&manifest("    - \"--etcd-servers=https://10.77.0.31:2379,https://10.77.0.32:2379\""));
        assert_eq!(external, ["https://10.77.0.31:2379", "https://10.77.0.32:2379"]);
        assert!(is_elsewhere(&external));
        // What merely begins like it is another argument, and where nothing is said there is no API server.
        assert!(named_in(&manifest("    - --etcd-servers-overrides=/events#https://10.77.0.31:2379")).is_empty());
        assert!(!is_elsewhere(&named_in("")));
    }
}
