//! What was told, as data.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::told::{HostTold, Told};
use crate::plan::PlanError;
use crate::spec::Taint;

/// A cluster that runs, and that others made.
#[derive(Clone, Debug)]
pub struct Running {
    pub(super) kubeadm: ClusterConfiguration,
    /// The same with all that stands there.
    pub(super) kubeadm_whole: Value,
    /// kube-proxy's configuration; null where there is none.
    pub(super) proxy_whole: Value,
    /// kubelet's configuration, as further nodes get it.
    pub(super) kubelet_whole: Value,
    /// By host, kubelet's configuration as it stands there.
    pub(super) kubelets: BTreeMap<String, Value>,
    /// The version of each part of the control plane that runs.
    pub(super) control_plane: Vec<(String, String)>,
    /// The mode of kube-proxy; nothing where there is no kube-proxy.
    pub(super) proxy: Option<String>,
    pub(super) nodes: BTreeMap<String, Node>,
    /// `host:port` of the administrator's kubeconfig.
    pub(super) server: String,
    pub(super) hosts: BTreeMap<String, HostTold>,
    /// Of all pods, under their full names.
    pub(super) images: BTreeSet<String>,
    /// What the public key of the cluster's authority hashes to.
    pub(super) authority: Option<String>,
}

/// kubeadm's own record of what it made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClusterConfiguration {
    pub(super) kubernetes_version: String,
    pub(super) control_plane_endpoint: String,
    pub(super) networking: Networking,
    pub(super) etcd: Etcd,
    pub(super) api_server: ApiServer,
    pub(super) certificates_dir: String,
    pub(super) image_repository: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Networking {
    pub(super) pod_subnet: String,
    pub(super) service_subnet: String,
    pub(super) dns_domain: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Etcd {
    pub(super) local: LocalEtcd,
    pub(super) external: Option<ExternalEtcd>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LocalEtcd {
    pub(super) data_dir: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ExternalEtcd {
    pub(super) endpoints: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiServer {
    #[serde(rename = "certSANs")]
    pub(super) cert_sans: Vec<String>,
}

/// A node as the cluster sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) address: String,
    pub(super) ready: bool,
    pub(super) control_plane: bool,
    pub(super) machine_id: String,
    pub(super) kubelet: String,
    /// Like `containerd://2.4.2`.
    pub(super) runtime: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Taint>,
}

impl Running {
    /// What `told` says.
    ///
    /// # Errors
    /// [`PlanError::NotUnderstood`].
    pub fn read(told: Told) -> Result<Self, PlanError> {
        let (proxy, proxy_whole): (Option<Proxy>, Value) = match told.kube_proxy.is_empty() {
            true => (None, Value::Null),
            false => (
                Some(entry(&told.kube_proxy, "kube-proxy", "config.conf")?),
                entry(&told.kube_proxy, "kube-proxy", "config.conf")?,
            ),
        };
        let kubelets = told.hosts.iter().map(|(host, told)| Ok((host.clone(), kubelet(host, told)?)));
        let nodes: Value = serde_json::from_slice(&told.nodes)
            .map_err(|source| misread("what the cluster says of its nodes", source))?;
        let nodes = nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            kubeadm: entry(&told.kubeadm, "kubeadm-config", "ClusterConfiguration")?,
            kubeadm_whole: entry(&told.kubeadm, "kubeadm-config", "ClusterConfiguration")?,
            proxy_whole,
            kubelet_whole: entry(&told.kubelet, "kubelet-config", "kubelet")?,
            kubelets: kubelets.collect::<Result<_, PlanError>>()?,
            control_plane: control_plane(&told)?,
            proxy: proxy.map(|proxy| proxy.mode),
            nodes: nodes.iter().map(|node| (text(&node["metadata"]["name"]), Node::read(node))).collect(),
            server: told.server.trim().trim_start_matches("server:").trim().trim_start_matches("https://").to_owned(),
            images: told.images.split_whitespace().map(full_name).collect(),
            authority: sealock_node::facts::ca_hash_of(&told.authority),
            hosts: told.hosts,
        })
    }

    /// What the public key of the cluster's authority hashes to; nothing where it shows none.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What kubelets and people connect to.
    pub(super) fn endpoint(&self) -> &str {
        match self.kubeadm.control_plane_endpoint.as_str() {
            "" => &self.server,
            named => named,
        }
    }

    /// Full names of the images of all pods.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(String::as_str)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Proxy {
    mode: String,
}

impl Node {
    fn read(node: &Value) -> Self {
        let (status, info) = (&node["status"], &node["status"]["nodeInfo"]);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let addresses = list(&status["addresses"]);
        let address = addresses.iter().find(|one| one["type"] == "InternalIP").map(|one| text(&one["address"]));
        let labels: BTreeMap<String, String> =
            serde_json::from_value(node["metadata"]["labels"].clone()).unwrap_or_default();
        let taints = list(&node["spec"]["taints"]).into_iter().filter_map(taint);
        Self {
            address: address.unwrap_or_default(),
            ready: list(&status["conditions"]).iter().any(|one| one["type"] == "Ready" && one["status"] == "True"),
            control_plane: labels.contains_key("node-role.kubernetes.io/control-plane"),
            machine_id: text(&info["machineID"]),
            kubelet: text(&info["kubeletVersion"]),
            runtime: text(&info["containerRuntimeVersion"]),
            labels,
            taints: taints.collect(),
        }
    }
}

/// A taint that somebody gave the node; those of the cluster's own controllers come and go.
fn taint(value: Value) -> Option<Taint> {
    let mut value = value;
    value.as_object_mut()?.remove("timeAdded");
    let taint: Taint = serde_json::from_value(value).ok()?;
    (!taint.key.starts_with("node.kubernetes.io/")).then_some(taint)
}

/// The YAML below `key` of a ConfigMap.
fn entry<T: DeserializeOwned>(map: &[u8], name: &str, key: &str) -> Result<T, PlanError> {
    let what = format!("{key} in the ConfigMap {name}");
    let map: Value = serde_json::from_slice(map).map_err(|source| misread(&what, source))?;
    let yaml = text(&map["data"][key]);
    serde_saphyr::from_str(&yaml).map_err(|source| misread(&what, source))
}

/// kubelet's configuration as it stands on `host`; null where none does.
fn kubelet(host: &str, told: &HostTold) -> Result<Value, PlanError> {
    if told.kubelet_config.trim().is_empty() {
        return Ok(Value::Null);
    }
    let what = format!("/var/lib/kubelet/config.yaml of {host}");
    serde_saphyr::from_str(&told.kubelet_config).map_err(|source| misread(&what, source))
}

/// The API server that was asked says its version itself; further ones, and the others, are called by it.
fn control_plane(told: &Told) -> Result<Vec<(String, String)>, PlanError> {
    let server: Value = serde_json::from_slice(&told.version)
        .map_err(|source| misread("what the API server says of its version", source))?;
    let mut all = vec![("kube-apiserver".to_owned(), text(&server["gitVersion"]))];
    for (part, image) in told.control_plane.lines().filter_map(|line| line.split_once(' ')) {
        let name = image.split('@').next().unwrap_or_default();
        let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag.to_owned());
        let found = (part.to_owned(), tag.unwrap_or_default());
        let is_told = matches!(part, "kube-apiserver" | "kube-controller-manager" | "kube-scheduler");
        if is_told && !all.contains(&found) {
            all.push(found);
        }
    }
    Ok(all)
}

fn misread(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PlanError {
    PlanError::NotUnderstood { what: what.to_owned(), source: source.into() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The name of an image as a release has it: with its registry, and a tag where it says no digest.
fn full_name(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let has_registry = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let name = match (has_registry, name.contains('/')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("docker.io/{name}"),
        (false, false) => format!("docker.io/library/{name}"),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { name } else { format!("{name}:latest") }
}
