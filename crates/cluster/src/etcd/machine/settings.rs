//! What a person may choose about a member.

use std::net::IpAddr;

use sealock_trust::Digest;
use serde::Serialize;

/// Who starts etcd, and starts it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Supervisor {
    /// systemd, by `etcd.service`.
    Systemd,
    /// kubelet, by a manifest in its folder of static pods.
    #[serde(rename_all = "kebab-case")]
    StaticPod {
        /// The image, by digest or tag.
        image: String,
        /// kubelet's folder, like `/etc/kubernetes/manifests`.
        manifests: String,
    },
    /// Somebody else, who is told the command line.
    Other,
}

/// A program that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// `etcd`, `etcdctl` or `etcdutl`.
    pub name: String,
    /// Where it lies now.
    pub source: String,
    /// Of its content.
    pub digest: Digest,
}

/// A member as a person wants it. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Its name, which no other member has.
    pub name: String,
    /// The address at which peers and clients reach it.
    pub address: IpAddr,
    /// The port for clients.
    pub client_port: u16,
    /// The port for peers.
    pub peer_port: u16,
    /// The port on loopback for health and metrics, in clear.
    pub metrics_port: u16,
    /// The data directory.
    pub data: String,
    /// The configuration file.
    pub config: String,
    /// The folder of certificates and keys.
    pub pki: String,
    /// The folder in which programs are linked.
    pub bin: String,
    /// Who starts it.
    pub supervisor: Supervisor,
    /// The programs' version, like `v3.6.8`.
    pub version: String,
    /// What is installed; nothing for a static pod, whose image holds it.
    pub programs: Vec<Program>,
    /// Further names and addresses for the certificates.
    pub names: Vec<String>,
    /// Bytes that the database may grow to.
    pub quota: Option<u64>,
    /// Tells a new cluster from any other.
    pub token: String,
    /// How many days certificates hold.
    pub days: u32,
}

impl Settings {
    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        format!("https://{}", self.at(self.client_port))
    }

    /// Where peers reach it.
    pub fn peer_url(&self) -> String {
        format!("https://{}", self.at(self.peer_port))
    }

    /// All names under which its certificates are shown.
    pub fn all_names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone(), self.address.to_string(), "127.0.0.1".into(), "localhost".into()];
        names.extend(self.names.iter().cloned());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    pub(super) fn at(&self, port: u16) -> std::net::SocketAddr {
        (self.address, port).into()
    }
}
