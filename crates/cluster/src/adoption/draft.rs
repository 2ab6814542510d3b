//! The spec of a cluster that runs, as far as the cluster itself says what it is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::containerd;
use super::model::{Node, Running};
use crate::plan::PlanError;
use crate::spec::{Ssh, Taint};

/// By this taint a control plane carries no applications.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Name and address of every node, in the order of the names.
pub fn nodes_of(running: &Running) -> Vec<(String, Ipv4Addr)> {
    let nodes = running.nodes.iter();
    nodes.filter_map(|(name, node)| Some((name.clone(), node.address.parse().ok()?))).collect()
}

/// A cluster spec for the nodes in `ssh`, reached as it says there: what somebody reads over before the cluster is taken over.
///
/// # Errors
/// It cannot be written.
pub fn draft(running: &Running, (name, site): (&str, &str), ssh: &BTreeMap<String, Ssh>) -> Result<String, PlanError> {
    let kubeadm = &running.kubeadm;
    let networking = &kubeadm.networking;
    let proxy = running.proxy.as_deref().filter(|mode| !mode.is_empty()).unwrap_or("iptables");
    let hosts: Vec<Value> =
        running.nodes.iter().filter_map(|(name, node)| Some(host(name, node, ssh.get(name)?))).collect();
    let mut spec = json!({
        "site": site,
        "kubernetes": {"version": kubeadm.kubernetes_version},
        "controlPlane": {"endpoint": running.endpoint()},
        "network": {
            "pods": networking.pod_subnet,
            "services": networking.service_subnet,
            "dnsDomain": networking.dns_domain,
            "cni": "none",
            "proxy": proxy,
        },
        "hosts": hosts,
    });
    if !kubeadm.api_server.cert_sans.is_empty() {
        spec["controlPlane"]["certSANs"] = json!(kubeadm.api_server.cert_sans);
    }
    let patch = containerd(running);
    if patch != json!({}) {
        spec["overrides"] = json!({"containerd": patch});
    }
    let document =
        json!({"apiVersion": "sealock/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec});
    serde_saphyr::to_string(&document).map_err(|source| PlanError::NotUnderstood {
        what: "what the cluster says of itself".into(),
        source: source.into(),
    })
}

fn host(name: &str, node: &Node, ssh: &Ssh) -> Value {
    let is_usual = |taint: &&Taint| taint.key == CONTROL_PLANE;
    let own: Vec<&Taint> = node.taints.iter().filter(|taint| !(node.control_plane && is_usual(taint))).collect();
    let roles = match (node.control_plane, node.taints.iter().any(|taint| is_usual(&taint))) {
        (true, true) => json!(["control-plane"]),
        (true, false) => json!(["control-plane", "worker"]),
        (false, _) => json!(["worker"]),
    };
    let mut host = json!({"name": name, "address": node.address, "roles": roles, "ssh": ssh});
    if !own.is_empty() {
        host["taints"] = json!(node.taints);
    }
    host
}

/// Where the containerd of the node that was asked is set otherwise than Sealock would set it.
fn containerd(running: &Running) -> Value {
    running.hosts.values().next().map_or_else(|| json!({}), containerd::patch)
}
