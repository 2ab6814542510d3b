//! The plan that takes over a cluster that kubeadm made and Sealock did not.
//!
//! A snapshot of etcd first. Then one node after the other: the host is claimed, what Sealock owns on a node is laid down in the very
//! versions that run, containerd and kubelet are started anew with it under the pods, and the next node comes when this one is Ready and
//! reports, and all of etcd's members are well. No pod is moved, and no container started anew.

use std::collections::BTreeMap;

use sealock_node::Step;
use sealock_node::facts::Kubernetes;
use sealock_node::step::{
    BEFORE_ADOPTION, CONTROL_PLANE_JOIN_PHASES, EtcdSnapshot, EtcdWell, File, INIT_PHASES, KubeadmCommand, Mode,
    NodeReady, RanBefore, WORKER_JOIN_PHASES, belongs_to,
};
use sealock_trust::Digest;

use super::apply::Context;
use super::gate::{Strictness, check_gates};
use super::places::Places;
use super::prepare::{self, Wanted};
use super::waves::{id, task};
use super::{Intent, Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::release::Program;
use crate::render::{kubeadm, units};
use crate::spec::{Cluster, Host};

/// How long a node may take to report again after its kubelet was started anew.
const READY_SECONDS: u32 = 300;
/// How long etcd's members may take to be well after that.
const ETCD_SECONDS: u32 = 120;
/// On the host of `kubeadm init` alone.
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// What is told of the cluster that is taken over, beside the facts of its hosts.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What the public key of its authority hashes to.
    pub authority: String,
    /// By host, the versions of what runs containers there.
    pub runtimes: BTreeMap<String, BTreeMap<String, String>>,
    /// By host and unit, drop-ins by which what units of others say goes on to hold.
    pub kept: BTreeMap<String, BTreeMap<String, String>>,
}

/// Every host is fit, and nobody else's who is known.
///
/// # Errors
/// [`PlanError::Gates`], [`PlanError::Foreign`], [`PlanError::NotObserved`].
pub(crate) fn check_adoptable(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    for host in cluster.hosts() {
        let name = host.name.to_string();
        let observation = inventory.hosts.get(&name).ok_or(PlanError::NotObserved { host: name.clone() })?;
        if let Kubernetes::Sealock(node) = &observation.facts.kubernetes
            && node.cluster != cluster.name().as_str()
        {
            return Err(PlanError::Foreign { host: name, evidence: vec![belongs_to(&node.cluster)] });
        }
    }
    let failures = check_gates(cluster, inventory, Strictness::TakeOver);
    if failures.is_empty() { Ok(()) } else { Err(PlanError::Gates(failures)) }
}

/// The plan that takes over the cluster that runs on the hosts of `inventory`, and that was found to be what the spec says.
///
/// # Errors
/// A host that is another's, conditions that are not met, or something that the release lacks.
pub fn plan_adoption(intent: &Intent<'_>, taken: &Taken, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_adoptable(cluster, inventory)?;
    let speaker = cluster.control_planes().next().map(|host| host.name.to_string()).unwrap_or_default();
    let places = Places { founder: founder(cluster, inventory), speaker, beginning: false };
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let context = Context::new(intent, inventory, ranges, places);
    let tasks = tasks(&context, taken)?;
    context.plan(Purpose::Adopt, tasks)
}

/// Where `kubeadm init` ran. Of several control planes it may have left long ago: then all of them joined.
fn founder(cluster: &Cluster, inventory: &Inventory) -> Option<String> {
    let holds = |host: &&Host| {
        let certificates = inventory.hosts.get(host.name.as_str()).map(|one| &one.facts.certificates);
        certificates.is_some_and(|all| all.iter().any(|one| one.path == SUPER_ADMIN))
    };
    let is_only_one = cluster.control_planes().count() == 1;
    cluster.control_planes().find(|host| is_only_one || holds(host)).map(|host| host.name.to_string())
}

fn tasks(context: &Context<'_>, taken: &Taken) -> Result<Vec<Task>, PlanError> {
    let (cluster, speaker) = (context.intent.cluster, context.places.speaker.as_str());
    let program = context.intent.program.to_owned();
    let snapshot = EtcdSnapshot { program: program.clone(), before: BEFORE_ADOPTION.into(), config: None };
    let mut tasks = vec![task(speaker, "snapshot", Vec::new(), vec![Step::new("etcd/snapshot", snapshot)])];
    let mut before = id(speaker, "snapshot");
    for host in cluster.control_planes().chain(cluster.workers()) {
        let name = host.name.as_str();
        tasks.push(task(name, "adopt", vec![before], steps(context, host, taken)?));
        let ready = format!("ready-{name}");
        let mut looks = vec![reports(context, host, taken)];
        looks.extend(members_are_well(cluster, host, &program));
        tasks.push(task(speaker, &ready, vec![id(name, "adopt")], looks));
        before = id(speaker, &ready);
    }
    Ok(tasks)
}

fn steps(context: &Context<'_>, host: &Host, taken: &Taken) -> Result<Vec<Step>, PlanError> {
    let runtime = taken.runtimes.get(host.name.as_str());
    let runtime = runtime.ok_or_else(|| PlanError::NotObserved { host: host.name.to_string() })?;
    let wanted = Wanted { running: Some(runtime), takes_over: Some(&taken.authority), ..context.wanted(host)? };
    let mut steps = wanted.foundation();
    steps.extend(prepare::time(context, host)?);
    steps.extend(wanted.software()?);
    for (unit, content) in taken.kept.get(host.name.as_str()).into_iter().flatten() {
        keep(&mut steps, unit, content);
    }
    steps.push(Step::new("kubeadm/ran-before", ran_before(context, host)?));
    Ok(steps)
}

/// Lays the drop-in of `unit` down before the unit is started anew.
fn keep(steps: &mut Vec<Step>, unit: &str, content: &str) {
    let short = unit.trim_end_matches(".service");
    let before = format!("{short}/unit");
    let at = steps.iter().position(|step| step.id == before).unwrap_or(steps.len());
    let path = format!("/etc/systemd/system/{unit}.d{}", units::KEPT);
    let file = File { path, content: content.to_owned(), mode: Mode::FILE, replaces: None };
    steps.insert(at, Step::new(format!("{short}/kept"), file));
}

fn ran_before(context: &Context<'_>, host: &Host) -> Result<RanBefore, PlanError> {
    let cluster = context.intent.cluster;
    let is_founder = context.places.founder.as_deref() == Some(host.name.as_str());
    let (command, phases, config) = if is_founder {
        (KubeadmCommand::Init, INIT_PHASES, kubeadm::init(cluster, host)?)
    } else if host.is_control_plane() {
        (KubeadmCommand::Join, CONTROL_PLANE_JOIN_PHASES, kubeadm::join(cluster, host)?)
    } else {
        (KubeadmCommand::Join, WORKER_JOIN_PHASES, kubeadm::join(cluster, host)?)
    };
    let phases = phases.iter().map(|phase| (*phase).to_owned()).collect();
    Ok(RanBefore { command, phases, node: host.name.to_string(), config: Digest::sha256(config.as_bytes()) })
}

/// Of several members none is to be away when the next one's host is taken over.
fn members_are_well(cluster: &Cluster, host: &Host, program: &str) -> Option<Step> {
    let members = u32::try_from(cluster.control_planes().count()).unwrap_or(u32::MAX);
    let well = EtcdWell { program: program.to_owned(), members, but: None, timeout_seconds: ETCD_SECONDS };
    (host.is_control_plane() && members > 1).then(|| Step::new("etcd/well", well))
}

fn reports(context: &Context<'_>, host: &Host, taken: &Taken) -> Step {
    let runtime = taken.runtimes.get(host.name.as_str());
    let ready = NodeReady {
        node: host.name.to_string(),
        control_plane: host.is_control_plane(),
        version: Some(context.version.clone()),
        containerd: runtime.and_then(|versions| versions.get(Program::Containerd.as_str())).cloned(),
        lately: true,
        timeout_seconds: READY_SECONDS,
    };
    Step::new("ready", ready)
}
