//! The plan that makes certificates anew before they end.

use std::collections::BTreeMap;

use sealock_node::facts::HostFacts;
use sealock_node::request::Registry;
use sealock_node::step::{EtcdSnapshot, Renewal};
use sealock_node::{Step, StepKind};
use sealock_store::release::Published;

use super::apply::planned_hosts;
use super::gate::check_fit;
use super::places::Places;
use super::versions::check_versions;
use super::waves::task;
use super::{Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::render::kubeadm;
use crate::spec::{Cluster, Host};

/// The plan that makes the certificates of every control plane of `cluster` anew, one control plane after the other, so that no two
/// are away at a time, behind a snapshot of etcd that `program` takes. It is bound to the serials that are there now: carried out twice
/// it makes nothing the second time.
///
/// # Errors
/// A host that is another's, or has another version than the spec says; no control plane has certificates yet.
pub fn plan_renewal(
    cluster: &Cluster,
    (release, registry): (&Published, &Registry),
    inventory: &Inventory,
    program: &str,
) -> Result<Plan, PlanError> {
    // A clock that is wrong would issue what has ended already.
    check_fit(cluster, inventory)?;
    check_versions(cluster, inventory)?;
    let speaker = Places::of(cluster, inventory, "").speaker;
    let mut tasks: Vec<Task> = snapshot(&speaker, inventory, program).into_iter().collect();
    for host in cluster.control_planes() {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        let serials = renewable(&observation.facts);
        if !serials.is_empty() {
            let after = tasks.last().map(|before| before.id.clone()).into_iter().collect();
            tasks.push(renew(cluster, host, serials, after)?);
        }
    }
    if renewed_planes(&tasks) == 0 {
        return Err(PlanError::NoCertificates { cluster: cluster.name().to_string() });
    }
    Ok(Plan {
        local_endpoint: cluster.local_endpoint().map(ToString::to_string),
        speaker,
        hosts: planned_hosts(cluster, inventory, &BTreeMap::new())?,
        tasks,
        ..Plan::of(cluster, release, registry, Purpose::Renew)
    })
}

/// A snapshot of etcd before any control plane is started anew. Where certificates of the host have ended, etcd takes nobody's word, and
/// gives none.
fn snapshot(speaker: &str, inventory: &Inventory, program: &str) -> Option<Task> {
    let facts = &inventory.hosts.get(speaker)?.facts;
    if facts.certificates.iter().any(|one| one.renewable && one.not_after <= facts.clock) {
        return None;
    }
    let snapshot = EtcdSnapshot { program: program.to_owned(), before: "renewal".to_owned(), config: None };
    Some(task(speaker, "snapshot", Vec::new(), vec![Step::new("etcd/snapshot", snapshot)]))
}

fn renewed_planes(tasks: &[Task]) -> usize {
    let renews = |task: &&Task| task.steps.iter().any(|step| matches!(step.action, StepKind::Renewal(_)));
    tasks.iter().filter(renews).count()
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
    let renewal = Renewal { serials, config: kubeadm::init(cluster, host)?, made_only: false, signed: None };
    Ok(Task {
        id: format!("{}/renew", host.name),
        host: host.name.to_string(),
        after,
        secrets: Vec::new(),
        steps: vec![Step::new("certificates", renewal)],
    })
}
