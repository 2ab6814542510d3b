//! Which nodes there are, and whether the hosts of the spec are those.

use sealock_node::facts::Kubernetes;
use sealock_node::step::belongs_to;

use super::cluster::CLUSTER;
use super::model::{Node, Running};
use super::{Mismatch, Wanted, mismatch};
use crate::spec::Host;

pub(super) fn compare(running: &Running, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let unknown = running.nodes.keys().filter(|name| wanted.cluster.host(name).is_none());
    let mut all: Vec<Mismatch> = unknown
        .map(|name| mismatch(CLUSTER, "spec.hosts", "the spec does not have it", format_args!("node {name}")))
        .collect();
    for host in wanted.cluster.hosts() {
        match running.nodes.get(host.name.as_str()) {
            None => {
                let put_in =
                    "the cluster has no such node: take it out, and put it in again once the cluster is taken over";
                all.push(mismatch(host.name.as_str(), "spec.hosts", put_in, "in the spec"));
            }
            Some(node) => all.extend(of_node(host, node, wanted)),
        }
    }
    all
}

fn of_node(host: &Host, node: &Node, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let name = host.name.as_str();
    let mut all = Vec::new();
    let mut differs = |field: &str, written: String, found: &str| {
        if written != found {
            all.push(mismatch(name, field, format_args!("the spec says {written}"), found));
        }
    };
    let role = |is_plane: bool| if is_plane { "control-plane" } else { "worker" };
    differs("spec.hosts[].address", host.address.to_string(), &node.address);
    differs("spec.hosts[].roles", role(host.is_control_plane()).into(), role(node.control_plane));
    differs("kubelet's version", wanted.cluster.spec().kubernetes.version.to_string(), &node.kubelet);
    for (key, value) in &host.labels {
        let found = node.labels.get(key).map_or("not set", String::as_str);
        differs(&format!("label {key}"), value.clone(), found);
    }
    let (written, found) = (taints(&host.effective_taints()), taints(&node.taints));
    differs("spec.hosts[].taints", written, &found);
    if !node.ready {
        all.push(mismatch(name, "the node", "only nodes that are Ready are taken over", "NotReady"));
    }
    all.extend(of_machine(name, node, wanted));
    all
}

/// The host that was asked is the very machine of that node, and nobody else's.
fn of_machine(name: &str, node: &Node, wanted: Wanted<'_>) -> Vec<Mismatch> {
    let Some(observation) = wanted.inventory.hosts.get(name) else { return Vec::new() };
    let mut all = Vec::new();
    let facts = &observation.facts;
    if node.machine_id != facts.machine_id {
        let by_node = format!("node {name} runs on the machine {}", node.machine_id);
        all.push(mismatch(name, "the machine id of the host", by_node, &facts.machine_id));
    }
    match &facts.kubernetes {
        Kubernetes::Sealock(ours) if ours.cluster != wanted.cluster.name().as_str() => {
            all.push(mismatch(
                name,
                "the claim",
                "only what nobody has claimed is taken over",
                belongs_to(&ours.cluster),
            ));
        }
        Kubernetes::None => {
            all.push(mismatch(name, "the host", "only a node of the cluster is taken over", "without Kubernetes"));
        }
        Kubernetes::Sealock(_) | Kubernetes::Foreign { .. } => {}
    }
    all
}

fn taints(taints: &[crate::spec::Taint]) -> String {
    let mut all: Vec<String> = taints.iter().map(|taint| serde_json::json!(taint).to_string()).collect();
    all.sort();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}
