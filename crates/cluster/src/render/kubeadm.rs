//! kubeadm's configuration, v1beta4.

use serde_json::{Map, Value, json};

use super::{RenderError, object};
use crate::spec::{API_PORT, Cluster, Host, merge};

/// The name of the secret that a joining node shows: minted at the step, never in a plan.
pub(crate) const TOKEN: &str = "bootstrap-token";
/// The name of the value by which a joining node knows the cluster's CA; known only once there is one.
pub(crate) const CA_HASH: &str = "ca-hash";
/// The name of the key under which the control planes share their CAs.
pub(crate) const CERTIFICATE_KEY: &str = "certificate-key";

const API: &str = "kubeadm.k8s.io/v1beta4";
const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// The configuration of `kubeadm init` on `host`.
pub(crate) fn init(cluster: &Cluster, host: &Host) -> Result<String, RenderError> {
    let init = object(json!({
        "apiVersion": API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": host.address, "bindPort": API_PORT},
        "nodeRegistration": registration(cluster, host),
        // The phase makes a token of its own that nobody uses: joining nodes get theirs when they join.
        "bootstrapTokens": [{"ttl": "15m0s", "description": "made by kubeadm init"}],
    }));
    documents(&[init, cluster_configuration(cluster), kubelet(cluster), kube_proxy(cluster)])
}

/// The configuration of `kubeadm join` on `host`.
pub(crate) fn join(cluster: &Cluster, host: &Host) -> Result<String, RenderError> {
    let mut join = object(json!({
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "token": secret(TOKEN),
            "apiServerEndpoint": cluster.spec().control_plane.endpoint,
            "caCertHashes": [secret(CA_HASH)],
        }},
        "nodeRegistration": registration(cluster, host),
    }));
    if host.is_control_plane() {
        let plane = json!({
            "localAPIEndpoint": {"advertiseAddress": host.address, "bindPort": API_PORT},
            "certificateKey": secret(CERTIFICATE_KEY),
        });
        join.insert("controlPlane".into(), plane);
    }
    documents(&[join])
}

/// The configuration of `kubeadm upgrade`, on every host the same.
pub(crate) fn upgrade(cluster: &Cluster) -> Result<String, RenderError> {
    let ignored = &cluster.spec().overrides.ignore_preflight_errors;
    let how = || {
        let mut how =
            object(json!({"imagePullPolicy": "IfNotPresent", "certificateRenewal": true, "etcdUpgrade": true}));
        if !ignored.is_empty() {
            how.insert("ignorePreflightErrors".into(), json!(ignored));
        }
        how
    };
    let mut apply = how();
    apply.insert("kubernetesVersion".into(), json!(cluster.spec().kubernetes.version));
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

fn registration(cluster: &Cluster, host: &Host) -> Value {
    // Without a default route kubelet cannot guess the address, and with several it may guess wrong.
    let mut arguments = vec![json!({"name": "node-ip", "value": host.address})];
    if !host.labels.is_empty() {
        let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        arguments.push(json!({"name": "node-labels", "value": labels.join(",")}));
    }
    let mut registration = object(json!({
        "name": host.name,
        "criSocket": CRI_SOCKET,
        "imagePullPolicy": "IfNotPresent",
        "kubeletExtraArgs": arguments,
        "taints": host.effective_taints(),
    }));
    let ignored = &cluster.spec().overrides.ignore_preflight_errors;
    if !ignored.is_empty() {
        registration.insert("ignorePreflightErrors".into(), json!(ignored));
    }
    Value::Object(registration)
}

fn cluster_configuration(cluster: &Cluster) -> Map<String, Value> {
    let spec = cluster.spec();
    let network = &spec.network;
    let mut configuration = object(json!({
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name(),
        "kubernetesVersion": spec.kubernetes.version,
        "controlPlaneEndpoint": spec.control_plane.endpoint,
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
    if !spec.control_plane.cert_sans.is_empty() {
        configuration.insert("apiServer".into(), json!({"certSANs": spec.control_plane.cert_sans}));
    }
    merge(&mut configuration, &spec.overrides.cluster_configuration);
    configuration
}

fn kubelet(cluster: &Cluster) -> Map<String, Value> {
    let mut configuration = object(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "failSwapOn": true,
    }));
    merge(&mut configuration, &cluster.spec().overrides.kubelet);
    configuration
}

fn kube_proxy(cluster: &Cluster) -> Map<String, Value> {
    let mut configuration = object(json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": cluster.spec().network.proxy.as_str(),
    }));
    merge(&mut configuration, &cluster.spec().overrides.kube_proxy);
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
