//! Certificates of authorities whose keys stay with somebody else: the plan by which hosts make keys and requests, and what other plans lay
//! down of what was signed.

use std::collections::{BTreeMap, BTreeSet};

use sealock_node::facts::HostFacts;
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT};
use sealock_node::requests::{Expected, expected};
use sealock_node::step::{CertificatesRequested, CertificatesSigned};
use sealock_node::{Step, StepKind};

use super::apply::{Context, prepare_of};
use super::custody::check_outside;
use super::gate::check_fit_to_prepare;
use super::places::Places;
use super::renew::renewable;
use super::{Intent, Plan, PlanError, Purpose, Task, prepare};
use crate::inventory::{Inventory, Observation};
use crate::render::kubeadm;
use crate::spec::{Cluster, Host, check_beginning};

const SECOND_ADMINISTRATOR: &str = "/etc/kubernetes/super-admin.conf";

/// What authorities elsewhere have signed, and those authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// The authorities' certificates, PEM, by the file in which kubeadm keeps each.
    pub authorities: BTreeMap<String, String>,
    /// Certificates, PEM, by host and by the file that each is for.
    pub certificates: BTreeMap<String, BTreeMap<String, String>>,
    /// Hosts on which some of them lie in their place already, and what shows them was not started anew since.
    pub unfinished: BTreeSet<String>,
}

impl Signed {
    /// What is laid down on `host`; nothing where nothing was signed for it. A worker knows Kubernetes' own authority alone.
    pub(crate) fn on(&self, host: &Host) -> Option<CertificatesSigned> {
        let certificates = self.certificates.get(host.name.as_str()).filter(|all| !all.is_empty())?.clone();
        let [kubernetes, ..] = AUTHORITIES;
        let mut authorities = self.authorities.clone();
        authorities.retain(|path, _| host.is_control_plane() || path == kubernetes.certificate);
        let node = host.name.to_string();
        Some(CertificatesSigned { node, authorities, certificates, service_accounts_sent: false })
    }

    /// The same on a node that runs, where kubelet gets its own by itself.
    pub(super) fn replacing(&self, host: &Host) -> Option<CertificatesSigned> {
        let mut signed = self.on(host)?;
        signed.certificates.remove(KUBELET_CLIENT);
        (!signed.certificates.is_empty()).then_some(signed)
    }

    /// What kubelet on `host` is to show, PEM.
    pub(super) fn kubelet(&self, host: &Host) -> Option<String> {
        self.certificates.get(host.name.as_str())?.get(KUBELET_CLIENT).cloned()
    }
}

/// What the host called `name` shows to others, where `founder` is the one on which the cluster begins.
pub(crate) fn shown(cluster: &Cluster, host: &Host, inventory: &Inventory) -> Vec<Expected> {
    let founder = Places::of(cluster, inventory, "").founder;
    let begins = founder.as_deref() == Some(host.name.as_str());
    expected(host.is_control_plane(), cluster.external_etcd().is_none(), begins)
}

/// Where kubeadm keeps the certificates of the authorities: Kubernetes' own, the front proxy's, and etcd's.
pub(crate) fn kept_files() -> [&'static str; 3] {
    AUTHORITIES.map(|files| files.certificate)
}

/// Whether requests are made by `task`.
pub(crate) fn makes_requests(task: &Task) -> bool {
    task.steps.iter().any(|step| matches!(step.action, StepKind::CertificatesRequested(_)))
}

/// The plan by which the hosts called `names` make keys, and requests for what they show. Where none is named these are the hosts that lack
/// something; where none does, all. A host that is no node yet is made ready for Kubernetes first: kubeadm makes the requests.
///
/// # Errors
/// A host that is another's, conditions that are not met, or something that the release lacks.
pub fn plan_requests(intent: &Intent<'_>, names: &[String], inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_fit_to_prepare(cluster, inventory)?;
    if let Some(signed) = intent.signed {
        check_outside(cluster, &signed.authorities, inventory)?;
    }
    let places = Places::of(cluster, inventory, intent.earlier_speaker);
    if places.beginning {
        check_beginning(cluster.spec())?;
    }
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let context = Context::new(intent, inventory, ranges, places);
    let mut tasks = Vec::new();
    for host in asked(intent, names, inventory) {
        tasks.extend(requested(&context, host)?);
    }
    context.plan(Purpose::Requests, tasks)
}

/// The hosts that make requests. A host on which something is to be finished first is asked by its name alone: keys that wait there go.
fn asked<'a>(intent: &Intent<'a>, names: &[String], inventory: &Inventory) -> Vec<&'a Host> {
    let cluster = intent.cluster;
    let all = || cluster.hosts().iter();
    if !names.is_empty() {
        return all().filter(|host| names.iter().any(|name| host.name.as_str() == name)).collect();
    }
    let lacking: Vec<&Host> = all().filter(|host| lacks(cluster, host, inventory)).collect();
    let is_unfinished = |host: &Host| intent.signed.is_some_and(|one| one.unfinished.contains(host.name.as_str()));
    if lacking.is_empty() { all().filter(|host| !is_unfinished(host)).collect() } else { lacking }
}

/// Whether a host has not all that it shows.
fn lacks(cluster: &Cluster, host: &Host, inventory: &Inventory) -> bool {
    let Some(observation) = inventory.hosts.get(host.name.as_str()) else { return true };
    shown(cluster, host, inventory).iter().any(|one| is_missing(observation, one.path))
}

/// Whether nothing is in the file `path` of a host, and something is to be.
pub(crate) fn is_missing(observation: &Observation, path: &str) -> bool {
    !may_be_away(observation, path) && !has(observation, path)
}

/// An administrator's second kubeconfig may be taken away from a node that runs, for good: it is not missed, and not asked for again.
fn may_be_away(observation: &Observation, path: &str) -> bool {
    observation.is_complete() && path == SECOND_ADMINISTRATOR
}

fn has(observation: &Observation, path: &str) -> bool {
    observation.facts.certificates.iter().any(|one| one.path == path)
}

fn requested(context: &Context<'_>, host: &Host) -> Result<Vec<Task>, PlanError> {
    let (cluster, inventory) = (context.intent.cluster, context.inventory);
    let name = host.name.to_string();
    let observation = inventory.hosts.get(&name).ok_or_else(|| PlanError::NotObserved { host: name.clone() })?;
    let mut tasks = Vec::new();
    if !observation.is_complete() {
        let steps = prepare::steps(context, host)?;
        tasks.push(Task { id: prepare_of(host), host: name.clone(), after: Vec::new(), secrets: Vec::new(), steps });
    }
    let asks_for = |path: &str| {
        let is_shown = shown(cluster, host, inventory).iter().any(|one| one.path == path);
        is_shown && (!may_be_away(observation, path) || has(observation, path))
    };
    let step = CertificatesRequested {
        node: name.clone(),
        control_plane: host.is_control_plane(),
        etcd: cluster.external_etcd().is_none(),
        super_admin: asks_for(SECOND_ADMINISTRATOR),
        config: kubeadm::init(cluster, host)?,
        serials: in_use(&observation.facts),
    };
    let after = tasks.iter().map(|task| task.id.clone()).collect();
    let steps = vec![Step::new("requests", step)];
    tasks.push(Task { id: format!("{name}/requests"), host: name, after, secrets: Vec::new(), steps });
    Ok(tasks)
}

/// The serials of what a host shows, by file: what kubeadm would make anew elsewhere, and kubelet's own.
pub(crate) fn in_use(facts: &HostFacts) -> BTreeMap<String, String> {
    let kubelet = facts.certificates.iter().filter(|one| one.path == KUBELET_CLIENT);
    renewable(facts).into_iter().chain(kubelet.map(|one| (one.path.clone(), one.serial.clone()))).collect()
}
