//! The certificates of a Kubernetes node: where kubeadm and kubelet keep them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificates::Facts;
use crate::host::{self, Host, HostError};

/// What `kubeadm certs renew all` makes anew, in `/etc/kubernetes`. The administrator's second kubeconfig is on the host of
/// `kubeadm init` alone.
pub const RENEWED: &[&str] = &[
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/pki/apiserver.crt",
    "/etc/kubernetes/pki/apiserver-etcd-client.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
    "/etc/kubernetes/pki/front-proxy-client.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "/etc/kubernetes/pki/etcd/peer.crt",
    "/etc/kubernetes/pki/etcd/server.crt",
];

/// What else ends some day: the authorities, and what kubelet renews by itself. (Its `kubelet.crt` is no matter: it is self-signed, made once,
/// and verified by nobody.)
pub const KEPT: &[&str] = &[
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/front-proxy-ca.crt",
    KUBELET_CLIENT,
];

/// What kubelet shows to the API server, certificate and key: a link to the one in use.
pub const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// No certificate and no kubeconfig is near this long.
const LIMIT: u64 = 1 << 20;

/// The certificate in the file `path`, a PEM file or a kubeconfig with a client's in it; nothing where there is none.
///
/// # Errors
/// The file cannot be read.
pub fn read(host: &dyn Host, path: &str) -> Result<Option<Facts>, HostError> {
    let Some(content) = host::read(host, path, LIMIT)? else { return Ok(None) };
    let content = String::from_utf8_lossy(&content);
    let pem = if path.ends_with(".conf") { client_certificate(&content) } else { Some(content.into_owned()) };
    Ok(pem.and_then(|pem| Facts::of(&pem).ok()))
}

/// What a kubeconfig shows to the API server, PEM. kubeadm writes it on one line.
fn client_certificate(kubeconfig: &str) -> Option<String> {
    let encoded = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("client-certificate-data:"))?;
    String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_holds_a_certificate_or_the_path_of_one() {
        let text =
            "users:\n- name: a\n  user:\n    client-certificate-data: LS0tLS1CRUdJTg==\n    client-key-data: AAAA\n";
        assert_eq!(client_certificate(text).as_deref(), Some("-----BEGIN"));
        assert_eq!(client_certificate("    client-certificate: /var/lib/kubelet/pki/current.pem\n"), None);
        assert_eq!(client_certificate("    client-certificate-data: ***\n"), None);
    }
}
