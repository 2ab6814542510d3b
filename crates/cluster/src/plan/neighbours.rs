//! The plan that tells the hosts that stay who their neighbours are, and changes nothing else: a host has left while versions are mixed.

use super::apply::{Context, check_owners};
use super::places::Places;
use super::{Intent, Plan, PlanError, Purpose, Task, prepare};
use crate::inventory::Inventory;
use crate::spec::Cni;

/// The plan that brings routes and local proxies of the hosts in `inventory` to what `intent` says.
///
/// # Errors
/// A host that is another's.
pub fn plan_neighbours(intent: &Intent<'_>, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_owners(cluster, inventory)?;
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let places = Places::of(cluster, inventory, intent.earlier_speaker);
    let context = Context::new(intent, inventory, ranges, places);
    let tasks = cluster.hosts().iter().map(|host| {
        let mut steps = prepare::local_proxy(intent);
        if cluster.spec().network.cni == Cni::Routed {
            steps.push(prepare::network_step(&context, host));
        }
        let id = format!("{}/neighbours", host.name);
        Task { id, host: host.name.to_string(), after: Vec::new(), secrets: Vec::new(), steps }
    });
    let tasks = tasks.filter(|task| !task.steps.is_empty()).collect();
    context.plan(Purpose::Neighbours, tasks)
}
