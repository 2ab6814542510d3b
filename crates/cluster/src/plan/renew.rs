//! The plan that makes certificates anew before they end.

use std::collections::BTreeMap;

use sealock_node::facts::HostFacts;
use sealock_node::request::Registry;
use sealock_node::step::{EtcdSnapshot, KubeletCertificate, NodeReady, Renewal};
use sealock_node::{Step, StepKind};
use sealock_store::release::Published;

use super::apply::planned_hosts;
use super::gate::check_fit;
use super::places::Places;
use super::versions::check_versions;
use super::waves::{READY_SECONDS, task};
use super::{CustodyError, Plan, PlanError, Purpose, Signed, Task};
use crate::inventory::Inventory;
use crate::render::kubeadm;
use crate::spec::{Cluster, Host};

/// The plan that makes the certificates of every control plane of `cluster` anew, one control plane after the other, so that no two
/// are away at a time, behind a snapshot of etcd that `program` takes. It is bound to the serials that are there now: carried out twice
/// it makes nothing the second time. Where authorities elsewhere have `signed` what hosts show, that is laid down instead, on the hosts that
/// wait for it: first on the one on which that was begun and cut off, workers last, as nobody in the cluster signs for their kubelets.
///
/// # Errors
/// A host that is another's, or has another version than the spec says; no control plane has certificates yet.
pub fn plan_renewal(
    cluster: &Cluster,
    (release, registry): (&Published, &Registry),
    inventory: &Inventory,
    (program, signed): (&str, Option<&Signed>),
) -> Result<Plan, PlanError> {
    // A clock that is wrong would issue what has ended already.
    check_fit(cluster, inventory)?;
    check_versions(cluster, inventory)?;
    let speaker = Places::of(cluster, inventory, "").speaker;
    let is_unfinished = |host: &&Host| signed.is_some_and(|signed| signed.unfinished.contains(host.name.as_str()));
    let (begun, others): (Vec<&Host>, Vec<&Host>) = cluster.control_planes().partition(is_unfinished);
    // Where one was begun, a snapshot was taken before, and etcd may not give another one.
    let snapshot = if begun.is_empty() { snapshot(&speaker, inventory, program) } else { None };
    let mut tasks: Vec<Task> = snapshot.into_iter().collect();
    for host in begun.into_iter().chain(others) {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        let serials = renewable(&observation.facts);
        let waits = signed.is_none_or(|signed| signed.on(host).is_some());
        if !serials.is_empty() && waits {
            let after = tasks.last().map(|before| before.id.clone()).into_iter().collect();
            tasks.push(renew(cluster, host, (serials, signed), after)?);
        }
    }
    if let Some(signed) = signed {
        tasks.extend(workers(cluster, &speaker, signed, tasks.last().map(|before| before.id.as_str())));
        if !tasks.iter().any(renews) {
            let cluster = cluster.name().to_string();
            return Err(CustodyError::NothingRequested { cluster, away: Vec::new() }.into());
        }
    } else if !tasks.iter().any(renews) {
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

/// One worker, and all others once that one reports with what was signed.
fn workers(cluster: &Cluster, speaker: &str, signed: &Signed, before: Option<&str>) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut after: Vec<String> = before.map(ToOwned::to_owned).into_iter().collect();
    for host in cluster.workers() {
        let is_first = tasks.is_empty();
        tasks.extend(kubelet_of(cluster, speaker, (host, signed), after.clone()));
        if is_first && let Some(reported) = tasks.last() {
            after = vec![reported.id.clone()];
        }
    }
    tasks
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

fn renews(task: &Task) -> bool {
    let is_one = |step: &Step| matches!(step.action, StepKind::Renewal(_) | StepKind::KubeletCertificate(_));
    task.steps.iter().any(is_one)
}

/// A worker shows what its kubelet does, and nothing else. That it reports with it is seen by the host that speaks for the cluster: a worker
/// has nothing to ask with.
fn kubelet_of(cluster: &Cluster, speaker: &str, (host, signed): (&Host, &Signed), after: Vec<String>) -> Vec<Task> {
    let Some(certificate) = signed.kubelet(host) else { return Vec::new() };
    let name = host.name.as_str();
    let renewed = task(name, "renew", after, vec![kubelet(host, Some(certificate))]);
    let seen = task(speaker, &format!("ready-{name}"), vec![renewed.id.clone()], vec![reports(cluster, host)]);
    vec![renewed, seen]
}

/// Waits until a node reports with another certificate.
fn reports(cluster: &Cluster, host: &Host) -> Step {
    let (node, control_plane) = (host.name.to_string(), host.is_control_plane());
    let version = Some(cluster.spec().kubernetes.version.to_string());
    let timeout_seconds = READY_SECONDS;
    Step::new("ready", NodeReady { node, control_plane, version, containerd: None, lately: true, timeout_seconds })
}

/// Gives kubelet another certificate: what was signed elsewhere, or what a control plane issues.
pub(super) fn kubelet(host: &Host, signed: Option<String>) -> Step {
    let step = KubeletCertificate { node: host.name.to_string(), replaced: None, signed };
    Step::new("kubelet", step)
}

pub(super) fn renewable(facts: &HostFacts) -> BTreeMap<String, String> {
    let renewable = facts.certificates.iter().filter(|certificate| certificate.renewable);
    renewable.map(|certificate| (certificate.path.clone(), certificate.serial.clone())).collect()
}

fn renew(
    cluster: &Cluster,
    host: &Host,
    (serials, signed): (BTreeMap<String, String>, Option<&Signed>),
    after: Vec<String>,
) -> Result<Task, PlanError> {
    let laid_down = signed.and_then(|signed| signed.replacing(host));
    // Without the authority's key kubeadm makes none: where kubelet alone waits for one, there is nothing else to do.
    let renews = signed.is_none() || laid_down.is_some();
    let renewal = Renewal { serials, config: kubeadm::init(cluster, host)?, made_only: false, signed: laid_down };
    let renewal = renews.then(|| Step::new("certificates", renewal));
    let signed = signed.and_then(|signed| signed.kubelet(host));
    let kubelet = signed.map(|pem| [kubelet(host, Some(pem)), reports(cluster, host)]);
    Ok(Task {
        id: format!("{}/renew", host.name),
        host: host.name.to_string(),
        after,
        secrets: Vec::new(),
        steps: renewal.into_iter().chain(kubelet.into_iter().flatten()).collect(),
    })
}
