//! What somebody should know of hosts that have no cluster yet, and that no plan depends on: whether it matters only the site can tell.

use sealock_node::facts::{HostFacts, Kubernetes};

use crate::inventory::Inventory;

/// A line for each host and each matter.
pub fn remarks(inventory: &Inventory) -> Vec<String> {
    let bare = inventory.hosts.iter().filter(|(_, host)| host.facts.kubernetes == Kubernetes::None);
    bare.flat_map(|(name, host)| of_host(&host.facts).into_iter().map(move |remark| format!("{name}: {remark}")))
        .collect()
}

fn of_host(facts: &HostFacts) -> Vec<String> {
    let filter = |found: &String| {
        format!(
            "{}. Between the hosts there must pass TCP 6443, 2379, 2380 and 10250, and all of the pods' network; \
             from the hosts to the station TCP 443",
            found.escape_debug()
        )
    };
    facts.obstacles.filters.iter().map(filter).chain(resolver(facts)).collect()
}

/// CoreDNS asks the resolvers of its node for all names that are not the cluster's. Of a loopback address it is its own pod that answers.
fn resolver(facts: &HostFacts) -> Option<String> {
    /// systemd-resolved, behind which kubeadm finds the real ones.
    const STUB: &str = "127.0.0.53";
    let servers = &facts.network.nameservers;
    let advice = "name the site's resolver there";
    if servers.is_empty() {
        return Some(format!("/etc/resolv.conf names no resolver, and without one CoreDNS does not start: {advice}"));
    }
    let own = servers.iter().find(|server| (server.starts_with("127.") && *server != STUB) || *server == "::1")?;
    Some(format!("/etc/resolv.conf names {own}, and a CoreDNS that asks it asks itself, and stops: {advice}"))
}
