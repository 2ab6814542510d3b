//! The cluster spec: what a person wants one cluster to be (`docs/formats/cluster-spec.md`).
//!
//! [`ClusterSpec`] is what stands in the file. [`Cluster`] is the same after it was found to make sense as a whole;
//! everything else in this crate takes a [`Cluster`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

mod control_plane;
mod document;
mod endpoint;
mod etcd;
mod host;
mod name;
mod overrides;
mod pki;
mod time;
mod upgrade;
mod version;

pub(crate) use control_plane::{API_PORT, check_beginning};
pub use document::{ClusterDocument, ClusterKind, LoadError, Metadata};
pub use endpoint::{Endpoint, ParseEndpointError};
pub use etcd::{Etcd, EtcdUrl, ExternalEtcd, ParseEtcdUrlError};
pub(crate) use host::fingerprint;
pub use host::{Host, ParsePinError, Pin, Role, Ssh, Taint};
pub use name::{Name, ParseNameError};
pub(crate) use overrides::merge;
pub use overrides::{Deviation, Overrides};
pub use pki::{AuthorityCertificate, AuthorityPair, ExternalPki, Pki, ServiceAccountKey, SuppliedPki};
pub use time::{ParseTimeServerError, Time, TimeServer};
pub use upgrade::{Drain, OnFailure, Upgrade};
pub use version::{KubernetesVersion, ParseVersionError};

/// The `spec` of a document of kind `Cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// The id of the site that the cluster belongs to.
    pub site: String,
    /// What Kubernetes.
    pub kubernetes: Kubernetes,
    /// Where the API is reached.
    pub control_plane: ControlPlane,
    /// Where the cluster keeps its state; where absent, each control plane runs a member of etcd.
    #[serde(default, skip_serializing_if = "Etcd::is_stacked")]
    pub etcd: Etcd,
    /// Who has made the authorities of the cluster; where absent, its first control plane makes them.
    #[serde(default, skip_serializing_if = "Pki::is_managed")]
    pub pki: Pki,
    /// Pod and service networks.
    #[serde(default)]
    pub network: Network,
    /// Where the hosts get their time from; where absent, from whom each of them is told by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The machines.
    pub hosts: Vec<Host>,
    /// How nodes become something else one after the other.
    #[serde(default, skip_serializing_if = "Upgrade::is_default")]
    pub upgrade: Upgrade,
    /// What is done differently from what Sealock would do, each printed as a deviation by `plan`.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// What Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// An exact version that the release carries, like `v1.36.3`.
    pub version: KubernetesVersion,
}

/// Where the API is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlPlane {
    /// What kubelets and people connect to: `address:port` of the only control plane host, or of what stands before several.
    pub endpoint: Endpoint,
    /// Whether each host gets the endpoint to itself, with a proxy behind which stand all API servers: several control planes need
    /// no load balancer then. The endpoint is a name with a free port, like `api.plant-7.internal:7443`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local_proxy: bool,
    /// Further names and addresses for the API server's certificate.
    #[serde(default, rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    pub cert_sans: Vec<String>,
}

/// Pod and service networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// The addresses of all pods.
    #[schemars(with = "String")]
    pub pods: Ipv4Net,
    /// Prefix length of the part of `pods` that each node gets.
    pub node_prefix: u8,
    /// The addresses of all Services.
    #[schemars(with = "String")]
    pub services: Ipv4Net,
    /// The domain of the cluster's own names.
    pub dns_domain: String,
    /// What connects the pods.
    pub cni: Cni,
    /// How kube-proxy does its work.
    pub proxy: ProxyMode,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pods: Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16),
            node_prefix: 24,
            services: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12),
            dns_domain: "cluster.local".into(),
            cni: Cni::Routed,
            proxy: ProxyMode::Nftables,
        }
    }
}

/// What connects the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cni {
    /// Built in: ptp and host-local plugins, static routes and masquerade. For nodes on one segment.
    Routed,
    /// Comes as manifests or a chart; nodes are not Ready before.
    None,
}

/// How kube-proxy does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// nftables rules.
    Nftables,
    /// iptables rules.
    Iptables,
    /// The kernel's virtual server.
    Ipvs,
}

impl ProxyMode {
    /// The value of `KubeProxyConfiguration.mode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
        }
    }
}

/// Why a cluster spec makes no sense as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SpecError {
    /// The field, like `spec.hosts[1].name`.
    pub place: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl SpecError {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// A cluster spec that makes sense as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    name: Name,
    spec: ClusterSpec,
    /// Where the spec's file is: relative paths begin there.
    folder: PathBuf,
}

impl Cluster {
    /// The cluster called `name` as `spec` wants it.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its place in the file.
    pub fn new(name: Name, spec: ClusterSpec) -> Result<Self, SpecError> {
        check_hosts(&spec.hosts)?;
        control_plane::check(&spec)?;
        check_network(&spec)?;
        etcd::check(&spec)?;
        time::check(&spec)?;
        pki::check(&spec)?;
        spec.overrides.check()?;
        Ok(Self { name, spec, folder: PathBuf::new() })
    }

    /// The cluster's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What stands in the file.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// The machines, in the order of the file.
    pub fn hosts(&self) -> &[Host] {
        &self.spec.hosts
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.spec.hosts.iter().find(|host| host.name.as_str() == name)
    }

    /// The hosts that carry a control plane, in the order of the file; never empty.
    pub fn control_planes(&self) -> impl Iterator<Item = &Host> {
        self.spec.hosts.iter().filter(|host| host.is_control_plane())
    }

    /// The hosts that carry none.
    pub fn workers(&self) -> impl Iterator<Item = &Host> {
        self.spec.hosts.iter().filter(|host| !host.is_control_plane())
    }

    /// The cluster as it is without the host called `name`. It need not make sense as a whole: two control planes are what is left
    /// of three until the next one comes.
    pub fn without(&self, name: &str) -> Self {
        self.keeping(|host| host.name.as_str() != name)
    }

    /// The control planes as if they were all of the cluster.
    pub(crate) fn planes_only(&self) -> Self {
        self.keeping(Host::is_control_plane)
    }

    /// The same without several.
    pub(crate) fn without_all(&self, names: &[String]) -> Self {
        self.keeping(|host| !names.iter().any(|name| host.name.as_str() == name))
    }

    /// The hosts called `names` as if they were all of the cluster.
    pub(crate) fn only(&self, names: &[String]) -> Self {
        self.keeping(|host| names.iter().any(|name| host.name.as_str() == name))
    }

    /// The same cluster with another version of Kubernetes.
    pub fn with_version(&self, version: KubernetesVersion) -> Self {
        let mut other = self.clone();
        other.spec.kubernetes.version = version;
        other
    }

    fn keeping(&self, keep: impl Fn(&Host) -> bool) -> Self {
        let hosts = self.spec.hosts.iter().filter(|host| keep(host)).cloned().collect();
        Self { spec: ClusterSpec { hosts, ..self.spec.clone() }, ..self.clone() }
    }

    /// The endpoint that each host has to itself, where it is one.
    pub fn local_endpoint(&self) -> Option<&Endpoint> {
        self.spec.control_plane.local_proxy.then_some(&self.spec.control_plane.endpoint)
    }

    /// The etcd that somebody else runs, where the cluster keeps its state there.
    pub fn external_etcd(&self) -> Option<&ExternalEtcd> {
        self.spec.etcd.external.as_ref()
    }

    /// The servers that the hosts get their time from, where the spec says so.
    pub fn time_servers(&self) -> Vec<String> {
        self.spec.time.iter().flat_map(|time| &time.servers).map(ToString::to_string).collect()
    }

    /// The authorities that somebody else has made, where Sealock is not to.
    pub fn supplied_pki(&self) -> Option<&SuppliedPki> {
        self.spec.pki.supplied.as_ref()
    }

    /// The authorities whose keys stay with somebody else, where certificates come by requests.
    pub fn external_pki(&self) -> Option<&ExternalPki> {
        self.spec.pki.external.as_ref()
    }

    /// The file at the station that the spec calls `path`.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The same cluster as it would be with a member of etcd on each control plane.
    pub(crate) fn with_own_etcd(&self) -> Self {
        Self { spec: ClusterSpec { etcd: Etcd::default(), ..self.spec.clone() }, ..self.clone() }
    }

    /// The digest of name and spec, whatever comments and layout the file has, and whatever it says of the way to something else: by that a
    /// cluster is no other one.
    pub fn digest(&self) -> Digest {
        let spec = ClusterSpec { upgrade: Upgrade::default(), ..self.spec.clone() };
        let content = serde_json::json!({"name": self.name, "spec": spec});
        // serde_json keeps the keys of an object sorted, so equal specs give equal bytes.
        Digest::sha256(content.to_string().as_bytes())
    }

    /// The part of the pod network of each host: what the spec says, else what it had, else the lowest that is free.
    ///
    /// # Errors
    /// More hosts than the pod network has parts.
    pub fn pod_ranges(&self, earlier: &BTreeMap<String, Ipv4Net>) -> Result<BTreeMap<String, Ipv4Net>, SpecError> {
        let mut ranges = BTreeMap::new();
        let parts = || subnets(&self.spec.network);
        for host in &self.spec.hosts {
            let kept = earlier.get(host.name.as_str()).filter(|range| parts().any(|part| part == **range));
            if let Some(range) = host.pods.as_ref().or(kept) {
                ranges.insert(host.name.to_string(), *range);
            }
        }
        let mut taken: BTreeSet<Ipv4Net> = ranges.values().copied().collect();
        for (n, host) in self.spec.hosts.iter().enumerate() {
            if ranges.contains_key(host.name.as_str()) {
                continue;
            }
            let Some(range) = parts().find(|part| !taken.contains(part)) else {
                let problem = format!("no part of {} is left for host {}", self.spec.network.pods, host.name);
                return Err(SpecError::new(format!("spec.hosts[{n}]"), problem));
            };
            taken.insert(range);
            ranges.insert(host.name.to_string(), range);
        }
        Ok(ranges)
    }
}

fn subnets(network: &Network) -> impl Iterator<Item = Ipv4Net> {
    // `check_network` has seen to it that the prefix lengths fit.
    network.pods.subnets(network.node_prefix).into_iter().flatten()
}

fn check_hosts(hosts: &[Host]) -> Result<(), SpecError> {
    if hosts.is_empty() {
        return Err(SpecError::new("spec.hosts", "a cluster needs at least one host"));
    }
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for (n, host) in hosts.iter().enumerate() {
        let place = |field: &str| format!("spec.hosts[{n}].{field}");
        if !names.insert(host.name.as_str()) {
            return Err(SpecError::new(place("name"), format!("{} names another host already", host.name)));
        }
        if !addresses.insert(host.address) {
            return Err(SpecError::new(place("address"), format!("{} belongs to another host already", host.address)));
        }
        if host.roles.is_empty() {
            return Err(SpecError::new(place("roles"), "say control-plane or worker, or both"));
        }
    }
    Ok(())
}

/// The networks themselves.
pub(crate) fn check_ranges(network: &Network) -> Result<(), SpecError> {
    let Network { pods, services, node_prefix, .. } = network;
    if *pods != pods.trunc() {
        return Err(SpecError::new(
            "spec.network.pods",
            format!("has bits behind its prefix; meant is {}", pods.trunc()),
        ));
    }
    if *services != services.trunc() {
        let problem = format!("has bits behind its prefix; meant is {}", services.trunc());
        return Err(SpecError::new("spec.network.services", problem));
    }
    if *node_prefix < pods.prefix_len() || *node_prefix > 28 {
        let problem = format!("a node's part of {pods} has a prefix length from {} to 28", pods.prefix_len());
        return Err(SpecError::new("spec.network.nodePrefix", problem));
    }
    if pods.contains(services) || services.contains(pods) {
        return Err(SpecError::new("spec.network.services", format!("{services} overlaps the pods' {pods}")));
    }
    Ok(())
}

/// A host is reached without them.
pub(crate) fn check_within(address: Ipv4Addr, network: &Network) -> Result<(), String> {
    let within = network.pods.contains(&address) || network.services.contains(&address);
    if within { Err(format!("{address} lies within the pod or service network")) } else { Ok(()) }
}

fn check_network(spec: &ClusterSpec) -> Result<(), SpecError> {
    check_ranges(&spec.network)?;
    let Network { pods, node_prefix, .. } = &spec.network;
    let mut taken = BTreeSet::new();
    for (n, host) in spec.hosts.iter().enumerate() {
        let place = || format!("spec.hosts[{n}].address");
        check_within(host.address, &spec.network).map_err(|problem| SpecError::new(place(), problem))?;
        let Some(range) = host.pods else { continue };
        if range.prefix_len() != *node_prefix || range != range.trunc() || !pods.contains(&range) {
            let problem = format!("is no /{node_prefix} of {pods}");
            return Err(SpecError::new(format!("spec.hosts[{n}].pods"), problem));
        }
        if !taken.insert(range) {
            return Err(SpecError::new(format!("spec.hosts[{n}].pods"), format!("{range} belongs to another host")));
        }
    }
    Ok(())
}
