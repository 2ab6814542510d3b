//! The facts of a host.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format;
use serde::{Deserialize, Serialize};

use crate::time::TimeFacts;

/// The format of [`HostFacts`].
pub const FACTS_FORMAT: &str = format::HOST_FACTS.current;

/// What a host says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostFacts {
    /// [`FACTS_FORMAT`].
    pub format: String,
    /// The version of the binary that looked.
    pub sealock: String,
    /// `/etc/machine-id`. Binding.
    pub machine_id: String,
    /// The kernel's host name.
    pub hostname: String,
    /// `/etc/os-release`.
    pub os: Os,
    /// As OCI platforms have it: `amd64`, `arm64`.
    pub architecture: String,
    /// The kernel's release, like `6.12.48`.
    pub kernel: String,
    /// Which control groups are mounted at `/sys/fs/cgroup`.
    pub cgroup: Cgroup,
    /// Logical processors.
    pub processors: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of swap in use or ready to be used. A gate.
    pub swap_bytes: u64,
    /// The clock when the host was looked at. A gate.
    pub clock: Timestamp,
    /// How the clock is kept. A gate.
    #[serde(default)]
    pub time: TimeFacts,
    /// The file system that holds `/var/lib`. A gate.
    pub disk: Disk,
    /// Addresses and routes.
    pub network: Network,
    /// Programs that steps or kubeadm need and that are not there.
    #[serde(default)]
    pub missing_programs: Vec<String>,
    /// What may be in the way of a cluster, where the host has none yet. A gate.
    #[serde(default)]
    pub obstacles: Obstacles,
    /// Whose Kubernetes, if any, is on the host. Binding.
    pub kubernetes: Kubernetes,
    /// The certificates of Kubernetes on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFact>,
    /// The digest of the public key by which tokens of service accounts are verified (DER), where it is on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<Digest>,
    /// Requests that wait on the host for certificates of an authority outside, PEM, by the path of what is to show each. They are what the
    /// host says, and nobody has looked at them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// Versions of the components that Sealock's links point to. Binding.
    #[serde(default)]
    pub components: BTreeMap<String, String>,
    /// Files that Sealock wrote. Binding.
    #[serde(default)]
    pub owned: BTreeMap<String, OwnedFile>,
    /// Files that a plan is likely to write and that Sealock did not: path to digest. Binding.
    #[serde(default)]
    pub foreign: BTreeMap<String, Digest>,
    /// The fence, if an operator ever set one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceFact>,
    /// What the site signed of its trust state at the last apply, as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_mirror: Option<String>,
    /// The plan whose journal on the node is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_plan: Option<Digest>,
}

/// The operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Os {
    /// Like `debian`.
    pub id: String,
    /// Like `12`; empty where the system has none.
    pub version: String,
    /// Like `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
}

/// The control groups of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cgroup {
    /// One controller per mount; kubelet 1.35 and later refuses it unless told otherwise.
    V1,
    /// The unified hierarchy.
    V2,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disk {
    /// Its size.
    pub total_bytes: u64,
    /// What an ordinary program may still use.
    pub free_bytes: u64,
}

/// Addresses, routes and resolvers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// Addresses with prefix length, like `10.77.0.11/24`, without loopback and link-local.
    pub addresses: Vec<String>,
    /// Default routes as `ip route` words them. None on a sealed segment.
    pub default_routes: Vec<String>,
    /// `nameserver` lines of `/etc/resolv.conf`.
    pub nameservers: Vec<String>,
    /// The smallest MTU of the interfaces that carry an address; 1500 where none does.
    pub mtu: u32,
}

/// What may be in the way of a cluster that is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Obstacles {
    /// TCP ports that are listened on, and by which program; empty where that is not said.
    pub ports: BTreeMap<u16, String>,
    /// Packet filters of others that keep away what they do not know, in words.
    pub filters: Vec<String>,
    /// Modules that the kernel does not have.
    pub missing_modules: Vec<String>,
}

/// Whose Kubernetes is on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "owner", rename_all = "kebab-case")]
pub enum Kubernetes {
    /// Nobody's: the host is free.
    None,
    /// Sealock's.
    Sealock(ClusterNode),
    /// Someone else's; refused.
    Foreign {
        /// What was found: paths, processes, units.
        evidence: Vec<String>,
    },
}

/// A host that belongs to a cluster of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterNode {
    /// The cluster it is claimed for.
    pub cluster: String,
    /// Whether kubelet has credentials: kubeadm init or join went that far.
    pub joined: bool,
    /// Whether static pods of a control plane are there.
    pub control_plane: bool,
    /// Whether kubeadm made the cluster here, or began to: `init` and not `join`.
    #[serde(default)]
    pub founded: bool,
    /// Whether kubeadm went through all of its phases here.
    #[serde(default)]
    pub complete: bool,
    /// Whether kubelet.service is active.
    pub kubelet_active: bool,
    /// `sha256:…` of the cluster CA's public key, as kubeadm's discovery wants it; where the CA is on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_hash: Option<String>,
    /// Where the API server of this host keeps the cluster's state; empty where there is no API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd: Vec<String>,
}

impl ClusterNode {
    /// Whether a control plane is on it that kubeadm is through with.
    pub fn is_plane(&self) -> bool {
        self.complete && self.control_plane
    }
}

/// A certificate of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateFact {
    /// The file that it stands in, or the kubeconfig.
    pub path: String,
    /// Its common name.
    pub name: String,
    /// Its serial number, in hexadecimal with colons.
    pub serial: String,
    /// The last moment at which it holds.
    pub not_after: Timestamp,
    /// Whether it issues others.
    pub authority: bool,
    /// Whether `kubeadm certs renew` makes it anew. Of the rest kubelet renews its own, and authorities are rotated.
    pub renewable: bool,
    /// The digest of the certificate, DER encoded. Of several authorities in one file the first one issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The digest of the authority on this host that has issued it; nothing where none has, and for authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<Digest>,
}

/// A file that Sealock wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OwnedFile {
    /// What Sealock wrote last.
    pub written: Digest,
    /// What is there now; absent where the file is gone. Different means drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Digest>,
}

/// The fence as it stands on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FenceFact {
    /// The highest generation that was accepted.
    pub generation: u64,
    /// The nonce it came with.
    pub nonce: String,
}
