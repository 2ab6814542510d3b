//! The plan that makes certificates anew before they end.

use std::collections::BTreeMap;

use sealock_node::Step;
use sealock_node::facts::HostFacts;
use sealock_node::request::Registry;
use sealock_node::step::Renewal;
use sealock_store::release::Published;

use super::apply::planned_hosts;
use super::gate::check_fit;
use super::places::Places;
use super::versions::check_versions;
use super::{Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::render::kubeadm;
use crate::spec::{Cluster, Host};

/// The plan that makes the certificates of every control plane of `cluster` anew, one control plane after the other, so that no two
/// are away at a time. It is bound to the serials that are there now: carried out twice it does nothing the second time.
///
/// # Errors
/// A host that is another's, or has another version than the spec says; no control plane has certificates yet.
pub fn plan_renewal(
    cluster: &Cluster,
    release: &Published,
    registry: &Registry,
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    // A clock that is wrong would issue what has ended already.
    check_fit(cluster, inventory)?;
    check_versions(cluster, inventory)?;
    let mut tasks: Vec<Task> = Vec::new();
    for host in cluster.control_planes() {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        let serials = renewable(&observation.facts);
        if !serials.is_empty() {
            let after = tasks.last().map(|before| before.id.clone()).into_iter().collect();
            tasks.push(renew(cluster, host, serials, after)?);
        }
    }
    if tasks.is_empty() {
        return Err(PlanError::NoCertificates { cluster: cluster.name().to_string() });
    }
    Ok(Plan {
        local_endpoint: cluster.local_endpoint().map(ToString::to_string),
        speaker: Places::of(cluster, inventory, "").speaker,
        hosts: planned_hosts(cluster, inventory, &BTreeMap::new())?,
        tasks,
        ..Plan::of(cluster, release, registry, Purpose::Renew)
    })
}

pub(super) fn renewable(facts: &HostFacts) -> BTreeMap<String, String> {
    let renewable = facts.certificates.iter().filter(|certificate| certificate.renewable);
    renewable.map(|certificate| (certificate.path.clone(), certificate.serial.clone())).collect()
}

fn renew(
    cluster: &Cluster,
    host: &Host,
    serials: BTreeMap<String, String>,
    after: Vec<String>,
) -> Result<Task, PlanError> {
    let renewal = Renewal { serials, config: kubeadm::init(cluster, host)?, made_only: false };
    Ok(Task {
        id: format!("{}/renew", host.name),
        host: host.name.to_string(),
        after,
        secrets: Vec::new(),
        steps: vec![Step::new("certificates", renewal)],
    })
}
