//! The plan that takes an upgrade back: nodes become again what was kept of them before it changed them.
//!
//! In the order that versions may be mixed in: workers, then what kubeadm has changed in the cluster, then the control planes, and the one
//! that speaks for the cluster last. Each is emptied where it is not empty, put back, Ready again as what it was, and given back.

use std::collections::BTreeSet;

use sealock_node::step::{NodeReady, ObjectsBack, RolledOut, TakenBack, Workload};
use sealock_node::{Step, StepKind};

use super::waves::{Becoming, Draining, LOOK, READY_SECONDS, ROLL_OUT_SECONDS, Waves, id, task};
use super::{Intent, Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::spec::Host;

/// How much of an upgrade is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nodes alone: the upgrade goes on later.
    Nodes,
    /// All of an upgrade of Kubernetes, what it has changed in the cluster as well.
    Kubernetes,
    /// All of an upgrade of components, which changes nothing in the cluster.
    Components,
}

/// The plan that makes `hosts` what they were before an upgrade, of the version that the spec in `intent` names.
///
/// # Errors
/// A host that is another's, or was not observed; [`PlanError::ObjectsLost`].
pub fn plan_rollback(
    intent: &Intent<'_>,
    draining: &Draining,
    (extent, hosts): (Extent, &BTreeSet<String>),
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    // Where kubelet is what it was, nothing has to leave its node.
    let becoming = if extent == Extent::Components { Becoming::Components } else { Becoming::Kubernetes };
    let waves = Waves::back(intent, draining, becoming, inventory)?;
    // Another host, which has kept nothing, would take the cluster for what it was before.
    if extent == Extent::Kubernetes && !intent.earlier_speaker.is_empty() && waves.speaker() != intent.earlier_speaker {
        return Err(PlanError::ObjectsLost { host: intent.earlier_speaker.to_owned() });
    }
    let back = Back { waves, extent, hosts };
    let tasks = back.tasks()?;
    back.waves.context.plan(Purpose::Rollback, tasks)
}

/// The name under which `upgrade` keeps what nodes are before it changes them; nothing where it does not keep it.
pub(crate) fn kept_under(upgrade: &Plan) -> Option<&str> {
    let mut steps = upgrade.tasks.iter().flat_map(|task| &task.steps);
    steps.find_map(|step| match &step.action {
        StepKind::Kept(kept) => Some(kept.since.as_str()),
        _ => None,
    })
}

/// Whether a member that runs one of `versions` shows that an etcd of `older` starts from its data: the version of a cluster is raised by its
/// last member. Else the oldest minor version that one runs, or nothing where none answers.
pub(crate) fn shows_older<'a>(
    versions: impl Iterator<Item = &'a str>,
    older: (u32, u32),
) -> Result<(), Option<(u32, u32)>> {
    let oldest = versions.filter_map(etcd_minor).min();
    if oldest.is_some_and(|runs| runs <= older) { Ok(()) } else { Err(oldest) }
}

/// Major and minor version of what begins like `3.6.8`.
pub(crate) fn etcd_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Tasks that are only looked at: whether `hosts` keep what they were.
pub(crate) fn looks(hosts: impl Iterator<Item = String>, since: &str) -> Vec<Task> {
    let look = |host: String| task(&host, "back", Vec::new(), vec![taken_back(since)]);
    hosts.map(look).collect()
}

fn taken_back(since: &str) -> Step {
    Step::new("back", TakenBack { since: since.to_owned() })
}

struct Back<'a> {
    waves: Waves<'a>,
    extent: Extent,
    hosts: &'a BTreeSet<String>,
}

impl Back<'_> {
    fn tasks(&self) -> Result<Vec<Task>, PlanError> {
        let cluster = self.waves.context.intent.cluster;
        let is_wanted = |host: &&Host| self.hosts.contains(host.name.as_str());
        let mut tasks = Vec::new();
        let mut before = Vec::new();
        for host in self.waves.away_first(cluster.workers().filter(is_wanted)) {
            tasks.extend(self.round(host, before)?);
            before = vec![self.waves.last_of(host)];
        }
        if self.extent == Extent::Kubernetes {
            tasks.push(task(self.waves.speaker(), "cluster", before, self.cluster()?));
            before = vec![id(self.waves.speaker(), "cluster")];
        }
        for host in self.waves.control_planes().into_iter().rev().filter(is_wanted) {
            tasks.extend(self.round(host, before)?);
            before = vec![self.waves.last_of(host)];
        }
        if self.extent == Extent::Kubernetes {
            for host in cluster.hosts() {
                tasks.push(task(host.name.as_str(), LOOK, before.clone(), vec![self.waves.services()?]));
            }
        }
        Ok(tasks)
    }

    fn round(&self, host: &Host, after: Vec<String>) -> Result<Vec<Task>, PlanError> {
        let name = host.name.as_str();
        let mut tasks = Vec::new();
        let emptied = if self.waves.is_away(host) { after } else { self.waves.empty(host, after, &mut tasks) };
        tasks.push(task(name, "back", emptied, vec![taken_back(self.waves.since())]));
        let mut given_back = vec![self.ready(host)];
        given_back.extend(self.waves.uncordon(host));
        tasks.push(task(self.waves.speaker(), &format!("return-{name}"), vec![id(name, "back")], given_back));
        Ok(tasks)
    }

    fn ready(&self, host: &Host) -> Step {
        let ready = NodeReady {
            node: host.name.to_string(),
            control_plane: host.is_control_plane(),
            version: Some(self.waves.kubernetes()),
            containerd: None,
            lately: true,
            timeout_seconds: READY_SECONDS,
        };
        Step::new("ready", ready)
    }

    /// What kubeadm has changed in the cluster, and what becomes of it on all nodes.
    fn cluster(&self) -> Result<Vec<Step>, PlanError> {
        let mut steps = vec![Step::new("objects", ObjectsBack { since: self.waves.since().to_owned() })];
        for (workload, name) in [(Workload::DaemonSet, "kube-proxy"), (Workload::Deployment, "coredns")] {
            let image = self.waves.image(name)?;
            let step = RolledOut { workload, name: name.to_owned(), image, timeout_seconds: ROLL_OUT_SECONDS };
            steps.push(Step::new(name, step));
        }
        Ok(steps)
    }
}
