//! The certificates of a Kubernetes node: where kubeadm and kubelet keep them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificates::Facts;
use crate::external_etcd;
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

/// What whoever runs an etcd elsewhere makes anew: what the API server shows to it, and whom it believes.
pub const BROUGHT: &[&str] = &[external_etcd::CERTIFICATE, external_etcd::AUTHORITY];

/// What kubelet renews by itself. (Its `kubelet.crt` is no matter: it is self-signed, made once, and verified by nobody.)
pub const KEPT: &[&str] = &[KUBELET_CLIENT];

/// What kubelet shows to the API server, certificate and key: a link to the one in use.
pub const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// An authority of a cluster: where kubeadm keeps it, and where its successor waits.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityFiles {
    /// Its certificate; while one takes the place of another, both of them, and first the one that issues: kubeadm takes the first.
    pub certificate: &'static str,
    /// The private key of the one that issues.
    pub key: &'static str,
    /// The certificate of the one that comes next.
    pub next: &'static str,
    /// Its private key.
    pub next_key: &'static str,
    /// The private key of the one that issued before, kept until that one is dropped.
    pub replaced_key: &'static str,
}

/// Where authorities wait that do not issue yet, and keys that do not any more.
pub const NEXT_AUTHORITIES: &str = "/var/lib/sealock/node/authorities";

/// Kubernetes' own, the one of the front proxy, and etcd's. Workers have the first one's certificate alone.
pub const AUTHORITIES: [AuthorityFiles; 3] = [
    AuthorityFiles {
        certificate: "/etc/kubernetes/pki/ca.crt",
        key: "/etc/kubernetes/pki/ca.key",
        next: "/var/lib/sealock/node/authorities/ca.crt",
        next_key: "/var/lib/sealock/node/authorities/ca.key",
        replaced_key: "/var/lib/sealock/node/authorities/ca-replaced.key",
    },
    AuthorityFiles {
        certificate: "/etc/kubernetes/pki/front-proxy-ca.crt",
        key: "/etc/kubernetes/pki/front-proxy-ca.key",
        next: "/var/lib/sealock/node/authorities/front-proxy-ca.crt",
        next_key: "/var/lib/sealock/node/authorities/front-proxy-ca.key",
        replaced_key: "/var/lib/sealock/node/authorities/front-proxy-ca-replaced.key",
    },
    AuthorityFiles {
        certificate: "/etc/kubernetes/pki/etcd/ca.crt",
        key: "/etc/kubernetes/pki/etcd/ca.key",
        next: "/var/lib/sealock/node/authorities/etcd-ca.crt",
        next_key: "/var/lib/sealock/node/authorities/etcd-ca.key",
        replaced_key: "/var/lib/sealock/node/authorities/etcd-ca-replaced.key",
    },
];

/// The two halves of a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyFiles {
    /// The private one.
    pub private: &'static str,
    /// The public one.
    pub public: &'static str,
}

/// The key that signs the tokens of service accounts, and by which they are verified.
pub const SERVICE_ACCOUNTS: KeyFiles =
    KeyFiles { private: "/etc/kubernetes/pki/sa.key", public: "/etc/kubernetes/pki/sa.pub" };

/// The name of the secret that is the private keys of supplied authorities: PEM texts by file, in JSON.
pub const SUPPLIED_SECRET: &str = "supplied-authorities";

/// The name of the secret that is the private key of service accounts, PEM.
pub const SERVICE_ACCOUNTS_SECRET: &str = "service-accounts";

/// By which of [`AUTHORITIES`] the certificate in the file `path` is issued.
pub fn authority_of(path: &str) -> AuthorityFiles {
    let [kubernetes, front_proxy, etcd] = AUTHORITIES;
    match path {
        "/etc/kubernetes/pki/front-proxy-client.crt" => front_proxy,
        "/etc/kubernetes/pki/apiserver-etcd-client.crt" => etcd,
        path if path.starts_with("/etc/kubernetes/pki/etcd/") => etcd,
        _ => kubernetes,
    }
}

/// Every certificate in the file `path`; none where there is no such file.
///
/// # Errors
/// The file cannot be read.
pub fn read_all(host: &dyn Host, path: &str) -> Result<Vec<Facts>, HostError> {
    let Some(content) = host::read(host, path, LIMIT)? else { return Ok(Vec::new()) };
    Ok(Facts::all(&String::from_utf8_lossy(&content)))
}

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
