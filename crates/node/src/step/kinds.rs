//! The data of each kind of step, and how it reads in a plan.

use std::collections::BTreeMap;
use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::{CertificatesSigned, Mode, SetAside};

/// Takes the host for one cluster: refused where Kubernetes already runs, or where another cluster has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Claim {
    /// The cluster's name.
    pub cluster: String,
    /// Where a node is taken over that runs already: what the public key of its cluster's authority hashes to. A node of any other
    /// cluster is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
}

/// A file with exactly this content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// The whole content.
    pub content: String,
    /// Permission bits; the owner is root.
    pub mode: Mode,
    /// The digest of the content seen at planning that may be replaced, although Sealock did not write it. It is kept, and
    /// given back by a reset. Without it a file that Sealock did not write is foreign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
}

/// A folder; its parents are made too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Permission bits of the folder itself, if it is made; parents get 0755. One that exists keeps its own.
    pub mode: Mode,
}

/// Kernel settings, written to `/proc/sys` and to one file in `/etc/sysctl.d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sysctl {
    /// Dotted names and values, like `net.ipv4.ip_forward` and `1`.
    pub settings: BTreeMap<String, String>,
}

/// Kernel modules, loaded now and named in one file in `/etc/modules-load.d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KernelModule {
    /// Module names, like `overlay`. One that is built into the kernel counts as loaded.
    pub modules: Vec<String>,
}

/// A name in `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostsEntry {
    /// The address.
    pub address: String,
    /// The names it gets; a name that already has another address there is foreign.
    pub names: Vec<String>,
}

/// Where an artifact of the release is found in the site registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Artifact {
    /// The repository, like `dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm`.
    pub repository: String,
    /// The digest of its OCI manifest; it must stand in the release.
    pub digest: Digest,
}

/// Binaries of the release, fetched by digest into `/opt/sealock/<name>/<version>/` and linked from their usual places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Component {
    /// Like `containerd`.
    pub name: String,
    /// Like `v2.4.2`.
    pub version: String,
    /// Where its bytes are.
    pub artifact: Artifact,
    /// How its one layer is packed.
    pub packing: Packing,
    /// The files that are wanted.
    pub files: Vec<ComponentFile>,
    /// Only fetched: the links stay what they are, for a later step to turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub staged: bool,
    /// Programs of others in the places of links, by digest: they are kept aside, and given back at a reset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaces: BTreeMap<String, Digest>,
}

/// How the layer of a component's artifact is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// The layer is the file.
    Plain,
    /// The layer is a gzipped tar archive.
    TarGzip,
}

/// One file of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ComponentFile {
    /// The path inside the archive, like `bin/containerd`; for a plain file the name it gets.
    pub member: String,
    /// Absolute path of the link to it, like `/usr/bin/kubelet`.
    pub link: String,
}

/// A systemd unit with its drop-ins, in `/etc/systemd/system`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Unit {
    /// Like `containerd.service`.
    pub name: String,
    /// The unit file.
    pub content: String,
    /// Drop-in files by name, like `10-kubeadm.conf`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drop_ins: BTreeMap<String, String>,
    /// Whether the unit is to run when the step is done. kubelet only runs once kubeadm has configured it, and is left alone.
    pub running: bool,
    /// Files and folders that the unit reads at its start: it is restarted when one differs from what it was started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_on: Vec<String>,
    /// Files of others in the place of the unit's, by digest: they are kept aside, and given back at a reset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaces: BTreeMap<String, Digest>,
}

/// Images preloaded into containerd by digest, and pinned against kubelet's garbage collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Images {
    /// What is to be there.
    pub images: Vec<Image>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// The full reference with its tag, like `registry.k8s.io/pause:3.10.2`.
    pub name: String,
    /// The digest of its index or manifest; it must stand in the release.
    pub digest: Digest,
}

/// Which kubeadm command a phase belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubeadmCommand {
    /// `kubeadm init phase …`
    Init,
    /// `kubeadm join phase …`
    Join,
    /// `kubeadm upgrade apply phase …`
    UpgradeApply,
    /// `kubeadm upgrade node phase …`
    UpgradeNode,
}

impl KubeadmCommand {
    /// The command's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Join => "join",
            Self::UpgradeApply => "upgrade apply",
            Self::UpgradeNode => "upgrade node",
        }
    }

    /// Whether it changes a node that is there.
    pub(crate) fn is_upgrade(self) -> bool {
        matches!(self, Self::UpgradeApply | Self::UpgradeNode)
    }
}

/// One phase of `kubeadm init`, `join` or `upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeadmPhase {
    /// Whose phase.
    pub command: KubeadmCommand,
    /// The phase as kubeadm names it, like `certs all`.
    pub phase: String,
    /// The node's name in the cluster.
    pub node: String,
    /// The v1beta4 configuration, with `${secret:NAME}` where a secret belongs. It is written to a file that only root can
    /// read, in memory, for as long as the phase runs.
    pub config: String,
}

/// The pod network that comes built in: the ptp and host-local plugins, static routes, and masquerade for what leaves the
/// pod network. Right for nodes on one segment.
///
/// Sealock gives each node its pod range, so the network stands before kubelet starts; the controller manager's own
/// allocation is to be off (`allocate-node-cidrs: "false"`), or the two would disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RoutedNetwork {
    /// This node's address on the segment.
    pub address: String,
    /// This node's pod range, like `10.244.1.0/24`.
    pub pods: String,
    /// The cluster's pod range, like `10.244.0.0/16`.
    pub cluster_pods: String,
    /// The cluster's service range. A node without a default route gets a route for it, since the kernel looks for a route
    /// before kube-proxy's rules see the packet.
    pub services: String,
    /// Bytes.
    pub mtu: u32,
    /// The other nodes.
    pub peers: Vec<Peer>,
}

/// Another node of the pod network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peer {
    /// Its address on the segment.
    pub address: String,
    /// Its pod range.
    pub pods: String,
}

/// Waits until a node is Ready; runs on a control plane host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeReady {
    /// The node's name in the cluster.
    pub node: String,
    /// Whether its etcd, API server, controller manager and scheduler are to be Ready, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
    /// The version that its kubelet is to have, where that matters: then a control plane is looked at for a while, since a kubelet
    /// that was started anew starts its pods anew, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of containerd that its kubelet is to speak to, where that matters: the kubelet says so once the new one has answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerd: Option<String>,
    /// Whether its kubelet is to have reported in the last minutes: after an outage the cluster believes for a while what it saw before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lately: bool,
    /// How long to wait.
    pub timeout_seconds: u32,
}

/// Makes the certificates of a control plane anew, and starts its components anew with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Renewal {
    /// The serials that are to be replaced, by file, as the plan saw them.
    pub serials: BTreeMap<String, String>,
    /// kubeadm's configuration (v1beta4): with it kubeadm asks no API server, and no internet.
    pub config: String,
    /// Only made: what runs, or will run, is started by a later step. Where all control planes have stopped, none serves before the
    /// others have new certificates, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_only: bool,
    /// What an authority outside has signed to take their place: kubeadm makes none then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<CertificatesSigned>,
}

/// Takes the host out of its cluster and returns it to what it was before the first step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reset {
    /// The cluster that the host is taken from; one that is claimed for another is foreign.
    pub cluster: String,
    /// Where nobody says that the host's etcd member may go: its cluster is not asked, and its data goes aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_aside: Option<SetAside>,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cluster.as_str() {
            super::BY_ITSELF => f.write_str("claim the host, for no cluster of a station"),
            cluster if self.running.is_some() => write!(f, "claim the node as it runs for cluster {cluster}"),
            cluster => write!(f, "claim the host for cluster {cluster}"),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.replaces.is_some() { "replace" } else { "write" };
        write!(f, "{verb} {} ({})", self.path, self.mode)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make folder {} ({})", self.path, self.mode)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set ")?;
        list(f, self.settings.iter().map(|(key, value)| format!("{key}={value}")))
    }
}

impl fmt::Display for KernelModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("load kernel modules ")?;
        list(f, &self.modules)
    }
}

impl fmt::Display for HostsEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name {} in /etc/hosts: ", self.address)?;
        list(f, &self.names)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.staged {
            return write!(f, "fetch {} {}", self.name, self.version);
        }
        write!(f, "install {} {} (", self.name, self.version)?;
        list(f, self.files.iter().map(|file| &file.link))?;
        f.write_str(")")?;
        aside(f, &self.replaces)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.running { "enable and start" } else { "enable" }, self.name)?;
        aside(f, &self.replaces)
    }
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preload and pin {}", count(self.images.len(), "image"))
    }
}

impl fmt::Display for KubeadmPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubeadm {} phase {}", self.command.as_str(), self.phase)
    }
}

impl fmt::Display for RoutedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod network {} with routes to {}", self.pods, count(self.peers.len(), "other node"))
    }
}

impl fmt::Display for NodeReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control_plane = if self.control_plane { " with its control plane" } else { "" };
        let version = self.version.as_ref().map(|version| format!(" as {version}")).unwrap_or_default();
        let containerd =
            self.containerd.as_ref().map(|version| format!(" with containerd {version}")).unwrap_or_default();
        let lately = if self.lately { " and reports" } else { "" };
        let Self { node, timeout_seconds, .. } = self;
        write!(
            f,
            "wait until node {node}{control_plane} is Ready{version}{containerd}{lately} (at most {timeout_seconds} s)"
        )
    }
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.signed {
            Some(signed) => signed.fmt(f)?,
            None => write!(f, "renew {}", count(self.serials.len(), "certificate"))?,
        }
        if self.made_only {
            return Ok(());
        }
        f.write_str(" and start the control plane anew with them, and etcd where it runs there")
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cluster.as_str() {
            super::BY_ITSELF => f.write_str("return the host to what it was")?,
            cluster => write!(f, "take the host out of cluster {cluster} and return it to what it was")?,
        }
        match &self.etcd_aside {
            None => Ok(()),
            Some(aside) => write!(f, "; its cluster's etcd is not asked: {aside}"),
        }
    }
}

/// Says what of others is kept aside.
fn aside(f: &mut fmt::Formatter<'_>, replaces: &BTreeMap<String, Digest>) -> fmt::Result {
    if replaces.is_empty() {
        return Ok(());
    }
    f.write_str(", keeping aside ")?;
    list(f, replaces.keys())
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
