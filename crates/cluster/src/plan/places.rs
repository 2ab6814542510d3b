//! Which host does what only one of them does.

use sealock_node::facts::{ClusterNode, Kubernetes};

use crate::inventory::Inventory;
use crate::spec::{Cluster, Host};

/// Where a cluster begins, and who speaks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The control plane host of `kubeadm init`. None once that host has left: whoever comes now joins.
    pub(super) founder: Option<String>,
    /// The control plane host that mints tokens and is asked about nodes.
    pub(super) speaker: String,
    /// Whether there is no cluster yet.
    pub(super) beginning: bool,
}

impl Places {
    /// As it is, where there is a cluster already; else the first control plane of the spec is both. Whoever spoke in an `earlier` plan
    /// goes on to, so that a plan that is under way stays the same.
    pub(super) fn of(cluster: &Cluster, inventory: &Inventory, earlier: &str) -> Self {
        let named = |host: Option<&Host>| host.map(|host| host.name.to_string());
        let is = |host: &Host, what: fn(&ClusterNode) -> bool| node(host, inventory).is_some_and(what);
        let is_complete = |host: &&Host| is(host, ClusterNode::is_plane);
        let founded = cluster.control_planes().find(|host| is(host, |node| node.founded));
        let complete = cluster.control_planes().filter(|host| host.name.as_str() == earlier).find(is_complete);
        let complete = complete.or_else(|| cluster.control_planes().find(is_complete));
        let first = cluster.control_planes().next();
        let founder = if founded.is_some() || complete.is_some() { founded } else { first };
        let speaker = complete.or(founder);
        let beginning = complete.is_none();
        Self { founder: named(founder), speaker: named(speaker).unwrap_or_default(), beginning }
    }
}

/// What a host says of itself as a node; nothing where it is none of Sealock's.
pub(super) fn node<'a>(host: &Host, inventory: &'a Inventory) -> Option<&'a ClusterNode> {
    match &inventory.hosts.get(host.name.as_str())?.facts.kubernetes {
        Kubernetes::Sealock(node) => Some(node),
        Kubernetes::None | Kubernetes::Foreign { .. } => None,
    }
}
