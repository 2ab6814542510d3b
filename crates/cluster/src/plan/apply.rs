//! The planner: from what is to what shall be.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use sealock_node::Step;
use sealock_node::facts::Kubernetes;
use sealock_node::kubernetes_certificates::KUBELET_CLIENT;
use sealock_node::step::{
    CONTROL_PLANE_JOIN_PHASES, CertificatesSigned, EXTERNAL_INIT_PHASES, EXTERNAL_JOIN_PHASES, EtcdClaim, INIT_PHASES,
    KubeadmCommand, KubeadmPhase, NodeReady, WORKER_JOIN_PHASES, belongs_to,
};

use super::custody::{check_custody, check_outside};
use super::gate::check_fit_to_prepare;
use super::places::Places;
use super::versions::check_versions;
use super::{Intent, Phase, Plan, PlanError, PlannedHost, Purpose, SecretKind, Task, prepare};
use crate::inventory::{Binding, Inventory};
use crate::release::ReleaseView;
use crate::render::kubeadm;
use crate::spec::{Cluster, Cni, Host, check_beginning};

/// How long the nodes may take to be Ready once they have joined.
const READY_SECONDS: u32 = 300;

/// What the pieces of a plan are made from.
pub(super) struct Context<'a> {
    pub(super) intent: &'a Intent<'a>,
    pub(super) release: ReleaseView<'a>,
    pub(super) inventory: &'a Inventory,
    ranges: BTreeMap<String, Ipv4Net>,
    pub(super) places: Places,
    /// The Kubernetes version, as the release names it.
    pub(super) version: String,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        intent: &'a Intent<'a>,
        inventory: &'a Inventory,
        ranges: BTreeMap<String, Ipv4Net>,
        places: Places,
    ) -> Self {
        let version = intent.cluster.spec().kubernetes.version.to_string();
        Self { intent, release: ReleaseView::new(intent.release), inventory, ranges, places, version }
    }
}

impl Context<'_> {
    pub(super) fn pods_of(&self, host: &Host) -> String {
        self.ranges.get(host.name.as_str()).map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn architecture(&self, host: &Host) -> Result<&str, PlanError> {
        let observation = self.inventory.hosts.get(host.name.as_str());
        let observation = observation.ok_or_else(|| PlanError::NotObserved { host: host.name.to_string() })?;
        Ok(&observation.facts.architecture)
    }

    /// The plan of `tasks`.
    pub(super) fn plan(&self, purpose: Purpose, tasks: Vec<Task>) -> Result<Plan, PlanError> {
        let Intent { cluster, release, registry, .. } = *self.intent;
        Ok(Plan {
            local_endpoint: cluster.local_endpoint().map(ToString::to_string),
            speaker: self.places.speaker.clone(),
            hosts: planned_hosts(cluster, self.inventory, &self.ranges)?,
            deviations: cluster.spec().overrides.deviations(),
            tasks,
            ..Plan::of(cluster, release, registry, purpose)
        })
    }

    pub(super) fn smallest_mtu(&self) -> u32 {
        let all = self.inventory.hosts.values().map(|observation| observation.facts.network.mtu);
        all.filter(|mtu| *mtu > 0).min().unwrap_or(1500)
    }
}

/// The plan that makes the hosts of `inventory` the cluster of `intent`.
///
/// It holds every step, done or not: each is looked at on its host before it is carried out.
///
/// # Errors
/// A host that is another's, conditions that are not met, or something that the release lacks.
pub fn plan(intent: &Intent<'_>, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_fit_to_prepare(cluster, inventory)?;
    check_versions(cluster, inventory)?;
    if let Some(supplied) = intent.supplied {
        check_custody(cluster, supplied, inventory)?;
    }
    if let Some(signed) = intent.signed {
        check_outside(cluster, &signed.authorities, inventory)?;
    }
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let places = Places::of(cluster, inventory, intent.earlier_speaker);
    if places.beginning {
        check_beginning(cluster.spec())?;
    }
    let context = Context::new(intent, inventory, ranges, places);
    let tasks = tasks(&context)?;
    context.plan(Purpose::Apply, tasks)
}

/// Every host of `cluster` is free or ours.
pub(super) fn check_owners(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    check_owners_of(cluster.hosts(), cluster, inventory)
}

/// The same of some of the hosts.
pub(super) fn check_owners_of<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    cluster: &Cluster,
    inventory: &Inventory,
) -> Result<(), PlanError> {
    for host in hosts {
        let name = host.name.to_string();
        let Some(observation) = inventory.hosts.get(&name) else {
            return Err(PlanError::NotObserved { host: name });
        };
        match &observation.facts.kubernetes {
            Kubernetes::None => {}
            Kubernetes::Sealock(node) if node.cluster == cluster.name().as_str() => {}
            Kubernetes::Sealock(node) => {
                let evidence = vec![belongs_to(&node.cluster)];
                return Err(PlanError::Foreign { host: name, evidence });
            }
            Kubernetes::Foreign { evidence } => {
                return Err(PlanError::Foreign { host: name, evidence: evidence.clone() });
            }
        }
    }
    Ok(())
}

pub(super) fn planned_hosts(
    cluster: &Cluster,
    inventory: &Inventory,
    ranges: &BTreeMap<String, Ipv4Net>,
) -> Result<Vec<PlannedHost>, PlanError> {
    let planned = cluster.hosts().iter().map(|host| {
        let name = host.name.to_string();
        let Some(observation) = inventory.hosts.get(&name) else {
            return Err(PlanError::NotObserved { host: name });
        };
        Ok(PlannedHost {
            address: host.address.to_string(),
            roles: host.roles.clone(),
            pods: ranges.get(&name).map(ToString::to_string).unwrap_or_default(),
            binding: Binding::of(&observation.facts),
            name,
        })
    });
    planned.collect()
}

/// What makes the hosts a cluster, or finishes it.
pub(super) fn tasks(context: &Context<'_>) -> Result<Vec<Task>, PlanError> {
    let cluster = context.intent.cluster;
    let mut tasks = Vec::new();
    for host in cluster.hosts() {
        let steps = prepare::steps(context, host)?;
        tasks.push(Task {
            id: prepare_of(host),
            host: host.name.to_string(),
            after: Vec::new(),
            secrets: Vec::new(),
            steps,
        });
    }
    tasks.extend(etcd_clients(context));
    let founder = context.places.founder.as_deref().and_then(|name| cluster.host(name));
    if let Some(founder) = founder {
        tasks.push(init(context, founder)?);
    }
    let founded = founder.map(init_of);
    // One after the other: etcd takes one new member at a time, and kubeadm changes what all of them read.
    let mut before = founded.clone();
    for host in cluster.control_planes().filter(|host| founder != Some(host)) {
        let task = join(context, host, before)?;
        before = Some(task.id.clone());
        tasks.push(task);
    }
    for host in cluster.workers() {
        tasks.push(join(context, host, founded.clone())?);
    }
    if cluster.spec().network.cni == Cni::Routed {
        let joined = tasks.iter().filter(|task| !Phase::Prepare.has(task)).map(|task| task.id.clone()).collect();
        tasks.push(ready(cluster, &context.places.speaker, joined, (false, READY_SECONDS)));
    }
    Ok(tasks)
}

pub(super) fn prepare_of(host: &Host) -> String {
    format!("{}/{}", host.name, Phase::Prepare.as_str())
}

pub(super) fn init_of(host: &Host) -> String {
    format!("{}/init", host.name)
}

/// What the API servers show to an etcd that somebody else runs, one control plane after the other: where it has changed each of them is
/// started anew.
fn etcd_clients(context: &Context<'_>) -> Vec<Task> {
    let Some(client) = context.intent.etcd_client else { return Vec::new() };
    let mut tasks: Vec<Task> = Vec::new();
    for host in context.intent.cluster.control_planes() {
        let before = tasks.last().map(|before| before.id.clone());
        tasks.push(Task {
            id: etcd_of(host),
            host: host.name.to_string(),
            after: std::iter::once(prepare_of(host)).chain(before).collect(),
            secrets: vec![SecretKind::EtcdClientKey],
            steps: vec![Step::new("etcd/client", client.clone())],
        });
    }
    tasks
}

fn etcd_of(host: &Host) -> String {
    format!("{}/etcd", host.name)
}

/// What kubeadm wants to find on `host`.
fn before_kubeadm(cluster: &Cluster, host: &Host) -> String {
    if cluster.external_etcd().is_some() && host.is_control_plane() { etcd_of(host) } else { prepare_of(host) }
}

fn init(context: &Context<'_>, host: &Host) -> Result<Task, PlanError> {
    let cluster = context.intent.cluster;
    let config = kubeadm::init(cluster, host)?;
    let phases = if cluster.external_etcd().is_some() { EXTERNAL_INIT_PHASES } else { INIT_PHASES };
    let mut steps = steps_of(KubeadmCommand::Init, phases, host.name.as_str(), &config);
    lay_down_signed(context, host, (&mut steps, false));
    let mut secrets = Vec::new();
    if let Some(supplied) = context.intent.supplied {
        // kubeadm makes none where it finds some.
        let at = steps.iter().position(|step| step.id == "kubeadm/init/certs-all").unwrap_or_default();
        steps.insert(at, Step::new("authorities/supplied", supplied.clone()));
        secrets.push(SecretKind::SuppliedAuthorities);
    }
    if let Some(etcd) = cluster.external_etcd() {
        // As soon as there is an authority by which it is told from any other, and before anything is written there.
        let at = steps.iter().position(|step| step.id == "kubeadm/init/certs-all").map_or(0, |at| at + 1);
        let endpoints = etcd.endpoints.iter().map(ToString::to_string).collect();
        let (program, cluster) = (context.intent.program.to_owned(), cluster.name().to_string());
        steps.insert(at, Step::new("etcd/claim", EtcdClaim { program, cluster, endpoints }));
    }
    Ok(Task {
        id: init_of(host),
        host: host.name.to_string(),
        after: vec![before_kubeadm(cluster, host)],
        secrets,
        steps,
    })
}

/// What was signed elsewhere is there before kubeadm, or kubelet, looks for any, and after kubeadm's preflight, which wants none of it. Of a
/// further control plane it wants what all of them share to be there, and no `kubelet.conf` yet.
fn lay_down_signed(context: &Context<'_>, host: &Host, (steps, joins): (&mut Vec<Step>, bool)) {
    let Some(mut signed) = context.intent.signed.and_then(|signed| signed.on(host)) else { return };
    let preflight = steps.iter().position(|step| step.id.ends_with("/preflight")).unwrap_or_default();
    if !joins || !host.is_control_plane() {
        return steps.insert(preflight + 1, Step::new("certificates/signed", signed));
    }
    if let Some(kubelet) = signed.certificates.remove(KUBELET_CLIENT) {
        let certificates = BTreeMap::from([(KUBELET_CLIENT.to_owned(), kubelet)]);
        let (node, authorities) = (signed.node.clone(), BTreeMap::new());
        let kubelet = CertificatesSigned { node, authorities, certificates, service_accounts_sent: false };
        steps.insert(preflight + 1, Step::new("certificates/kubelet", kubelet));
    }
    signed.service_accounts_sent = true;
    steps.insert(preflight, Step::new("certificates/signed", signed));
}

/// What a host needs to be told to join. Where the keys of authorities are on no control plane, these share the key of service accounts alone.
pub(super) fn secrets_to_join(cluster: &Cluster, host: &Host) -> Vec<SecretKind> {
    let shared = match cluster.external_pki() {
        Some(_) => SecretKind::ServiceAccounts,
        None => SecretKind::CertificateKey,
    };
    [SecretKind::BootstrapToken, SecretKind::CaHash]
        .into_iter()
        .chain(host.is_control_plane().then_some(shared))
        .collect()
}

fn join(context: &Context<'_>, host: &Host, before: Option<String>) -> Result<Task, PlanError> {
    let cluster = context.intent.cluster;
    let config = kubeadm::join(cluster, host)?;
    let secrets = secrets_to_join(cluster, host);
    let phases = if host.is_control_plane() {
        if cluster.external_etcd().is_some() { EXTERNAL_JOIN_PHASES } else { CONTROL_PLANE_JOIN_PHASES }
    } else {
        WORKER_JOIN_PHASES
    };
    let mut steps = steps_of(KubeadmCommand::Join, phases, host.name.as_str(), &config);
    lay_down_signed(context, host, (&mut steps, true));
    Ok(Task {
        id: format!("{}/join", host.name),
        host: host.name.to_string(),
        after: std::iter::once(before_kubeadm(cluster, host)).chain(before).collect(),
        secrets,
        steps,
    })
}

pub(crate) fn steps_of(command: KubeadmCommand, phases: &[&str], node: &str, config: &str) -> Vec<Step> {
    let step = |phase: &&str| {
        let id = format!("kubeadm/{}/{}", command.as_str(), phase).replace(' ', "-");
        let phase = KubeadmPhase { command, phase: (*phase).into(), node: node.into(), config: config.into() };
        Step::new(id, phase)
    };
    phases.iter().map(step).collect()
}

/// Waits on the host that speaks for the cluster until every node is Ready, where `lately` only if it reports.
pub(super) fn ready(
    cluster: &Cluster,
    speaker: &str,
    after: Vec<String>,
    (lately, timeout_seconds): (bool, u32),
) -> Task {
    let wait = |host: &Host| {
        let (node, control_plane) = (host.name.to_string(), host.is_control_plane());
        let ready = NodeReady { node, control_plane, version: None, containerd: None, lately, timeout_seconds };
        Step::new(format!("ready/{}", host.name), ready)
    };
    Task {
        id: format!("{speaker}/ready"),
        host: speaker.to_owned(),
        after,
        secrets: Vec::new(),
        steps: cluster.hosts().iter().map(wait).collect(),
    }
}
