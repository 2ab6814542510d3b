//! The plan that gives the hosts back.

use sealock_node::Step;
use sealock_node::facts::Kubernetes;
use sealock_node::request::Registry;
use sealock_node::step::Reset;
use sealock_store::release::Published;

use super::apply::{check_owners_of, planned_hosts};
use super::{Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::spec::{Cluster, Host};

/// The plan that returns every host of `cluster` to what it was: workers first, the first control plane last. Hosts of `begun`, which
/// took a cluster over or gave it back, and not to the end, stay what they are where they are claimed for nobody, but for what was left there.
///
/// # Errors
/// A host that is another's.
pub fn plan_reset(
    cluster: &Cluster,
    release: &Published,
    registry: &Registry,
    inventory: &Inventory,
    begun: Option<&Plan>,
) -> Result<Plan, PlanError> {
    check_owners_but_unclaimed(cluster, inventory, begun)?;
    returned(cluster, Purpose::Reset, release, registry, inventory)
}

/// The plan that returns the hosts of `cluster`, which leave a cluster that goes on elsewhere, to what they were. Hosts of `begun`, which gave
/// them back and was cut off behind that, stay what they are, as with [`plan_reset`]: one that was taken over has a Kubernetes of others then.
///
/// # Errors
/// A host that is another's.
pub fn plan_giving_back(
    cluster: &Cluster,
    release: &Published,
    registry: &Registry,
    inventory: &Inventory,
    begun: Option<&Plan>,
) -> Result<Plan, PlanError> {
    check_owners_but_unclaimed(cluster, inventory, begun)?;
    returned(cluster, Purpose::Remove, release, registry, inventory)
}

/// Every host is free or ours, but for those of `begun` that are claimed for nobody.
fn check_owners_but_unclaimed(cluster: &Cluster, inventory: &Inventory, begun: Option<&Plan>) -> Result<(), PlanError> {
    let unclaimed = |host: &Host| {
        let facts = &inventory.hosts.get(host.name.as_str())?.facts;
        let planned = begun?.host(host.name.as_str())?;
        let is_it = planned.binding.machine_id == facts.machine_id;
        Some(is_it && matches!(facts.kubernetes, Kubernetes::Foreign { .. }))
    };
    check_owners_of(cluster.hosts().iter().filter(|host| unclaimed(host) != Some(true)), cluster, inventory)
}

fn returned(
    cluster: &Cluster,
    purpose: Purpose,
    release: &Published,
    registry: &Registry,
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    let mut before: Vec<String> = Vec::new();
    let mut tasks = Vec::new();
    for host in cluster.workers() {
        tasks.push(task(cluster, host.name.as_str(), Vec::new()));
        before.push(format!("{}/reset", host.name));
    }
    let planes: Vec<_> = cluster.control_planes().collect();
    for host in planes.into_iter().rev() {
        tasks.push(task(cluster, host.name.as_str(), before.clone()));
        before.push(format!("{}/reset", host.name));
    }
    Ok(Plan {
        hosts: planned_hosts(cluster, inventory, &std::collections::BTreeMap::new())?,
        tasks,
        ..Plan::of(cluster, release, registry, purpose)
    })
}

fn task(cluster: &Cluster, host: &str, after: Vec<String>) -> Task {
    let reset = Reset { cluster: cluster.name().to_string(), etcd_aside: None };
    Task {
        id: format!("{host}/reset"),
        host: host.into(),
        after,
        secrets: Vec::new(),
        steps: vec![Step::new("reset", reset)],
    }
}
