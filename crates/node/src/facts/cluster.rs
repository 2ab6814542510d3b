//! Whose Kubernetes is on the host.

use sealock_trust::Digest;
use x509_parser::pem::parse_x509_pem;

use super::{ClusterNode, FactsError, Kubernetes};
use crate::external_etcd;
use crate::host::{self, Host, HostError};
use crate::step::{KubeadmCommand, claimed, evidence, kubeadm_began, kubeadm_ended, unit_is_active};

pub(super) fn observe(host: &dyn Host) -> Result<Kubernetes, FactsError> {
    if let Some(cluster) = claimed(host)? {
        return Ok(Kubernetes::Sealock(ClusterNode {
            cluster,
            joined: host::exists(host, "/etc/kubernetes/kubelet.conf")?,
            control_plane: host::exists(host, "/etc/kubernetes/manifests/kube-apiserver.yaml")?,
            founded: kubeadm_began(host, KubeadmCommand::Init)?,
            complete: kubeadm_ended(host)?,
            kubelet_active: unit_is_active(host, "kubelet.service")?,
            ca_hash: ca_hash(host)?,
            etcd: external_etcd::servers(host)?,
        }));
    }
    let evidence = evidence(host)?;
    Ok(if evidence.is_empty() { Kubernetes::None } else { Kubernetes::Foreign { evidence } })
}

/// The SHA-256 of the cluster CA's public key, DER encoded: what kubeadm's discovery pins. Nothing where there is no such certificate.
///
/// # Errors
/// The host does not let it be read.
pub fn ca_hash(host: &dyn Host) -> Result<Option<String>, HostError> {
    Ok(host::read(host, "/etc/kubernetes/pki/ca.crt", 1 << 20)?.and_then(|pem| ca_hash_of(&pem)))
}

/// The same of the first certificate in `pem`; nothing where there is none.
pub fn ca_hash_of(pem: &[u8]) -> Option<String> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(Digest::sha256(certificate.public_key().raw).to_string())
}
