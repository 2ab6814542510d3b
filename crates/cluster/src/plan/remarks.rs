//! What somebody should know of hosts that have no cluster yet, and that no plan depends on: whether it matters only the site can tell.

use sealock_node::StepKind;
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::step::TimeServers;
use sealock_node::time;

use super::Plan;
use crate::inventory::Inventory;

/// A line for each host of `plan` and each matter.
pub fn remarks(plan: &Plan, inventory: &Inventory) -> Vec<String> {
    let mut all = Vec::new();
    for (name, host) in &inventory.hosts {
        let told = times(plan, name);
        let bare = Some(&host.facts).filter(|facts| facts.kubernetes == Kubernetes::None);
        let found = bare.into_iter().flat_map(|facts| of_host(facts, told));
        let servers = told.into_iter().flat_map(|told| out_of_use(told, &host.facts));
        all.extend(found.chain(servers).map(|remark| format!("{name}: {remark}")));
    }
    all
}

/// From whom the plan has a host get its time.
fn times<'a>(plan: &'a Plan, host: &str) -> Option<&'a TimeServers> {
    let steps = plan.tasks.iter().filter(|task| task.host == host).flat_map(|task| &task.steps);
    let mut told = steps.filter_map(|step| match &step.action {
        StepKind::TimeServers(told) => Some(told),
        _ => None,
    });
    told.next()
}

/// Whom the host asks for the time until then.
fn out_of_use(told: &TimeServers, facts: &HostFacts) -> Vec<String> {
    let others = facts.time.servers.iter().filter(|line| !time::is_of_site(line, &told.servers));
    others.map(|line| format!("{} is put out of use, until the host is given back", line.escape_debug())).collect()
}

fn of_host(facts: &HostFacts, told: Option<&TimeServers>) -> Vec<String> {
    let time = told.map_or_else(String::new, |told| format!(", and to {} UDP 123", told.servers.join(" and ")));
    let filter = |found: &String| {
        format!(
            "{}. Between the hosts there must pass TCP 6443, 2379, 2380 and 10250, and all of the pods' network; \
             from the hosts to the station TCP 443{time}",
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
