//! The plan that brings the components below Kubernetes to what the release has: containerd, runc and the CNI plugins. Kubernetes
//! stays what it is.
//!
//! Programs are on every host before anything changes. Then the control planes that differ, one after the other, and then the workers:
//! each is emptied, changed, looked at, and given back.

use std::collections::BTreeSet;
use std::fmt;

use sealock_node::Step;
use sealock_store::Published;
use serde::Serialize;

use super::prepare::RUNTIME;
use super::versions::{check_versions, oldest};
use super::waves::{Becoming, CHANGE, Draining, LOOK, Waves};
use super::{Intent, Plan, PlanError, Purpose, Task};
use crate::inventory::{Inventory, Observation};
use crate::release::{Program, ReleaseView};
use crate::spec::{Cluster, Host};

/// What tells on a host whether a plan is through with it: its components, and the look from it.
const ON_HOSTS: [&str; 2] = [CHANGE, LOOK];

/// A component of a node that is not what the release has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// The host.
    pub host: String,
    /// The component.
    pub component: &'static str,
    /// The version that is in use.
    pub runs: String,
    /// The version that the release has.
    pub has: String,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, component, runs, has } = self;
        write!(f, "{host} uses {component} {runs}, and the release has {has}")
    }
}

/// What nodes of `cluster` have of the components below Kubernetes that is not what `release` has. Hosts that are no nodes yet get what
/// the release has when they join.
pub fn behind(cluster: &Cluster, inventory: &Inventory, release: &Published) -> Vec<Behind> {
    let release = ReleaseView::new(release);
    let observed = |host: &Host| inventory.hosts.get(host.name.as_str()).filter(|one| one.is_complete());
    let nodes = cluster.hosts().iter().filter_map(|host| Some((host, observed(host)?)));
    nodes
        .flat_map(|(host, observed)| RUNTIME.iter().filter_map(|part| of_node(host, observed, part.program, &release)))
        .collect()
}

fn of_node(host: &Host, observed: &Observation, program: Program, release: &ReleaseView<'_>) -> Option<Behind> {
    let component = program.as_str();
    let runs = observed.facts.components.get(component)?.clone();
    let has = release.program(program, &observed.facts.architecture, None).ok()?.version;
    (runs != has).then(|| Behind { host: host.name.to_string(), component, runs, has })
}

/// Every host of `cluster` is a node, and runs the Kubernetes that the spec says.
///
/// # Errors
/// [`PlanError::NotANode`], [`PlanError::OtherVersion`], [`PlanError::Downgrade`].
pub fn check_nodes(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    oldest(cluster, inventory, cluster.spec().kubernetes.version)?;
    check_versions(cluster, inventory)
}

/// The plan that makes the components of `hosts` what the release has.
///
/// # Errors
/// A host that is another's, or no node; another version of Kubernetes than the spec says; conditions that are not met; something that
/// the release lacks.
pub fn plan_components(
    intent: &Intent<'_>,
    draining: &Draining,
    hosts: &BTreeSet<String>,
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    check_nodes(intent.cluster, inventory)?;
    let waves = Waves::new(intent, draining, Becoming::Components, inventory)?;
    let tasks = tasks(&waves, hosts)?;
    waves.context.plan(Purpose::Components, tasks)
}

/// The tasks of a plan in which the components of hosts change and what was made of them is looked at.
pub(crate) fn changes(plan: &Plan) -> impl Iterator<Item = &Task> {
    plan.tasks.iter().filter(|task| ON_HOSTS.contains(&name(task)))
}

/// Whether it is the task in which a node's components change, and not the look at them.
pub(crate) fn is_change(task: &Task) -> bool {
    name(task) == CHANGE
}

fn name(task: &Task) -> &str {
    task.id.rsplit_once('/').map(|(_, name)| name).unwrap_or_default()
}

fn tasks(waves: &Waves<'_>, hosts: &BTreeSet<String>) -> Result<Vec<Task>, PlanError> {
    let cluster = waves.context.intent.cluster;
    let is_wanted = |host: &&Host| hosts.contains(host.name.as_str());
    let mut tasks = waves.stage()?;
    let mut before: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
    let planes = waves.away_first(waves.control_planes().into_iter().filter(is_wanted));
    if !planes.is_empty() {
        let release = format!("release-{}", waves.context.release.number());
        let snapshot = waves.snapshot(release, None, before);
        before = vec![snapshot.id.clone()];
        tasks.push(snapshot);
    }
    for host in planes {
        tasks.extend(waves.round(host, before, (CHANGE, components(waves, host)?))?);
        before = vec![waves.last_of(host)];
    }
    let workers = waves.away_first(cluster.workers().filter(is_wanted));
    tasks.extend(
        waves.workers(&workers, &before, |host, after| waves.round(host, after, (CHANGE, components(waves, host)?)))?,
    );
    Ok(tasks)
}

fn components(waves: &Waves<'_>, host: &Host) -> Result<Vec<Step>, PlanError> {
    waves.context.wanted(host)?.components_of_release()
}
