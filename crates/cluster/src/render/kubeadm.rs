//! kubeadm's configuration, v1beta4.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use sealock_node::external_etcd;
use serde_json::{Map, Value, json};

use super::{RenderError, object};
use crate::spec::{
    API_PORT, Cluster, Endpoint, ExternalEtcd, Host, KubernetesVersion, Network, Overrides, Taint, merge,
};

/// The name of the secret that a joining node shows: minted at the step, never in a plan.
pub(crate) const TOKEN: &str = "bootstrap-token";
/// The name of the value by which a joining node knows the cluster's CA; known only once there is one.
pub(crate) const CA_HASH: &str = "ca-hash";
/// The name of the key under which the control planes share their CAs.
pub(crate) const CERTIFICATE_KEY: &str = "certificate-key";

const API: &str = "kubeadm.k8s.io/v1beta4";
const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// What kubeadm is told of a cluster, whoever makes it: a cluster's spec, or the operator of one machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: KubernetesVersion,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) cert_sans: &'a [String],
    pub(crate) network: &'a Network,
    pub(crate) etcd: Option<&'a ExternalEtcd>,
    pub(crate) overrides: &'a Overrides,
}

impl<'a> Terms<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let spec = cluster.spec();
        Self {
            name: cluster.name().as_str(),
            version: spec.kubernetes.version,
            endpoint: &spec.control_plane.endpoint,
            cert_sans: &spec.control_plane.cert_sans,
            network: &spec.network,
            etcd: cluster.external_etcd(),
            overrides: &spec.overrides,
        }
    }
}

/// What kubeadm is told of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) control_plane: bool,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) taints: &'a [Taint],
}

/// The configuration of `kubeadm init` on `host`.
pub(crate) fn init(cluster: &Cluster, host: &Host) -> Result<String, RenderError> {
    with_node(host, |node| init_on(&Terms::of(cluster), node))
}

/// The configuration of `kubeadm join` on `host`.
pub(crate) fn join(cluster: &Cluster, host: &Host) -> Result<String, RenderError> {
    let spec = cluster.spec();
    // Where the keys of the authorities are on no control plane, there is nothing that these would share.
    let shares = cluster.external_pki().is_none();
    with_node(host, |node| join_with(&spec.control_plane.endpoint, &spec.overrides, node, shares))
}

/// The configuration of `kubeadm upgrade`, on every host the same.
pub(crate) fn upgrade(cluster: &Cluster) -> Result<String, RenderError> {
    // Without the keys of the authorities kubeadm could only say that it cannot.
    let renews = cluster.external_pki().is_none();
    upgrade_with(cluster.spec().kubernetes.version, &cluster.spec().overrides, renews)
}

fn with_node<T>(host: &Host, render: impl FnOnce(&Node<'_>) -> T) -> T {
    render(&Node {
        name: host.name.as_str(),
        address: host.address,
        control_plane: host.is_control_plane(),
        labels: &host.labels,
        taints: &host.effective_taints(),
    })
}

/// The configuration of `kubeadm init` on `node`.
pub(crate) fn init_on(terms: &Terms<'_>, node: &Node<'_>) -> Result<String, RenderError> {
    let init = object(json!({
        "apiVersion": API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
        "nodeRegistration": registration(terms.overrides, node),
        // The phase makes a token of its own that nobody uses: joining nodes get theirs when they join.
        "bootstrapTokens": [{"ttl": "15m0s", "description": "made by kubeadm init"}],
    }));
    documents(&[init, cluster_configuration(terms), kubelet(terms.overrides), kube_proxy(terms)])
}

/// The configuration of `kubeadm join` on `node`.
pub(crate) fn join_on(endpoint: &Endpoint, overrides: &Overrides, node: &Node<'_>) -> Result<String, RenderError> {
    join_with(endpoint, overrides, node, true)
}

fn join_with(endpoint: &Endpoint, overrides: &Overrides, node: &Node<'_>, shares: bool) -> Result<String, RenderError> {
    let mut join = object(json!({
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "token": secret(TOKEN),
            "apiServerEndpoint": endpoint,
            "caCertHashes": [secret(CA_HASH)],
        }},
        "nodeRegistration": registration(overrides, node),
    }));
    if node.control_plane {
        let mut plane = object(json!({"localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT}}));
        if shares {
            plane.insert("certificateKey".into(), secret(CERTIFICATE_KEY));
        }
        join.insert("controlPlane".into(), Value::Object(plane));
    }
    documents(&[join])
}

/// The configuration of `kubeadm upgrade` to `version`.
pub(crate) fn upgrade_to(version: KubernetesVersion, overrides: &Overrides) -> Result<String, RenderError> {
    upgrade_with(version, overrides, true)
}

fn upgrade_with(version: KubernetesVersion, overrides: &Overrides, renews: bool) -> Result<String, RenderError> {
    let ignored = &overrides.ignore_preflight_errors;
    let how = || {
        let mut how =
            object(json!({"imagePullPolicy": "IfNotPresent", "certificateRenewal": renews, "etcdUpgrade": true}));
        if !ignored.is_empty() {
            how.insert("ignorePreflightErrors".into(), json!(ignored));
        }
        how
    };
    let mut apply = how();
    apply.insert("kubernetesVersion".into(), json!(version));
    documents(&[object(json!({
        "apiVersion": API,
        "kind": "UpgradeConfiguration",
        "apply": apply,
        "node": how(),
    }))])
}

fn secret(name: &str) -> Value {
    Value::String(format!("${{secret:{name}}}"))
}

fn registration(overrides: &Overrides, node: &Node<'_>) -> Value {
    // Without a default route kubelet cannot guess the address, and with several it may guess wrong.
    let mut arguments = vec![json!({"name": "node-ip", "value": node.address})];
    if !node.labels.is_empty() {
        let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        arguments.push(json!({"name": "node-labels", "value": labels.join(",")}));
    }
    let mut registration = object(json!({
        "name": node.name,
        "criSocket": CRI_SOCKET,
        "imagePullPolicy": "IfNotPresent",
        "kubeletExtraArgs": arguments,
        "taints": node.taints,
    }));
    if !overrides.ignore_preflight_errors.is_empty() {
        registration.insert("ignorePreflightErrors".into(), json!(overrides.ignore_preflight_errors));
    }
    Value::Object(registration)
}

fn cluster_configuration(terms: &Terms<'_>) -> Map<String, Value> {
    let network = terms.network;
    let mut configuration = object(json!({
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "clusterName": terms.name,
        "kubernetesVersion": terms.version,
        "controlPlaneEndpoint": terms.endpoint,
        "networking": {
            "podSubnet": network.pods,
            "serviceSubnet": network.services,
            "dnsDomain": network.dns_domain,
        },
    }));
    if network.cni == crate::spec::Cni::Routed {
        // The plan gives every node its part of the pod network; a second opinion would disagree.
        let arguments = json!({"extraArgs": [{"name": "allocate-node-cidrs", "value": "false"}]});
        configuration.insert("controllerManager".into(), arguments);
    }
    if let Some(etcd) = terms.etcd {
        let external = json!({
            "endpoints": etcd.endpoints,
            "caFile": external_etcd::AUTHORITY,
            "certFile": external_etcd::CERTIFICATE,
            "keyFile": external_etcd::KEY,
        });
        configuration.insert("etcd".into(), json!({"external": external}));
    }
    if !terms.cert_sans.is_empty() {
        configuration.insert("apiServer".into(), json!({"certSANs": terms.cert_sans}));
    }
    merge(&mut configuration, &terms.overrides.cluster_configuration);
    configuration
}

fn kubelet(overrides: &Overrides) -> Map<String, Value> {
    let mut configuration = object(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "failSwapOn": true,
    }));
    merge(&mut configuration, &overrides.kubelet);
    configuration
}

fn kube_proxy(terms: &Terms<'_>) -> Map<String, Value> {
    let mut configuration = object(json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": terms.network.proxy.as_str(),
    }));
    merge(&mut configuration, &terms.overrides.kube_proxy);
    configuration
}

fn documents(documents: &[Map<String, Value>]) -> Result<String, RenderError> {
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let yaml =
            serde_saphyr::to_string(document).map_err(|source| RenderError::new("kubeadm's configuration", source))?;
        text.push_str(&yaml);
    }
    Ok(text)
}
