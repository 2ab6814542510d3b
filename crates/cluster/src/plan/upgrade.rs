//! The plan that brings a cluster to the next version of Kubernetes.
//!
//! What every host needs is there before anything changes. Then the control planes, one after the other; then a look at the services
//! from every node; then the workers. A minor version is never passed over: a longer way is a plan for each of its hops.

use std::collections::BTreeSet;

use sealock_node::facts::Kubernetes;
use sealock_node::step::{
    Component, Drained, EtcdSnapshot, Images, KubeadmCommand, NodeReady, RolledOut, RunAs, ServicesAnswer,
    UPGRADE_ADD_ONS, UPGRADE_APPLY_PHASES, UPGRADE_CONTROL_PLANE_PHASES, UPGRADE_WORKER_PHASES, Uncordoned, Unit,
    Workload,
};
use sealock_node::{Step, StepKind};
use sealock_trust::Digest;

use super::apply::{Context, steps_of};
use super::gate::check_fit;
use super::places::Places;
use super::{Intent, Plan, PlanError, Purpose, Task, prepare};
use crate::inventory::Inventory;
use crate::release::Program;
use crate::render::kubeadm;
use crate::spec::{Host, SpecError};

/// How long a node may take to be Ready as what it has become.
const READY_SECONDS: u32 = 600;
/// How long an add-on may take to run everywhere.
const ROLL_OUT_SECONDS: u32 = 600;
/// By these files kubelet is what it is: it is started anew where one of them changes.
const KUBELET_READS: [&str; 3] =
    ["/usr/bin/kubelet", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"];

/// How nodes are emptied before their kubelet becomes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draining {
    /// Whether pods go, too, that nothing starts anew.
    pub force: bool,
    /// Whether pods go, too, that have written into emptyDir volumes.
    pub delete_emptydir_data: bool,
    /// How long one node may take.
    pub timeout_seconds: u32,
    /// How many workers may be away at a time; at least one.
    pub max_unavailable: usize,
    /// Nodes that take no new pods already: they stay like that.
    pub cordoned: BTreeSet<String>,
}

/// The plan that brings the hosts of `inventory` from what they are to the version of the spec in `intent`: the next one on their
/// way.
///
/// # Errors
/// A host that is another's, or none yet; conditions that are not met; something that the release lacks.
pub fn plan_upgrade(intent: &Intent<'_>, draining: &Draining, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = intent.cluster;
    check_fit(cluster, inventory)?;
    let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
    let places = Places::of(cluster, inventory, intent.earlier_speaker);
    if places.beginning {
        let first = cluster.hosts().first().map(|host| host.name.to_string()).unwrap_or_default();
        return Err(PlanError::NotANode { host: first });
    }
    let upgrade = Upgrade { context: Context::new(intent, inventory, ranges, places), draining };
    let tasks = upgrade.tasks()?;
    upgrade.context.plan(Purpose::Upgrade, tasks)
}

struct Upgrade<'a> {
    context: Context<'a>,
    draining: &'a Draining,
}

impl Upgrade<'_> {
    fn tasks(&self) -> Result<Vec<Task>, PlanError> {
        let cluster = self.context.intent.cluster;
        let mut tasks = Vec::new();
        for host in cluster.hosts() {
            tasks.push(task(host.name.as_str(), "stage", Vec::new(), self.stage(host)?));
        }
        let staged: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
        tasks.push(task(self.speaker(), "snapshot", staged, vec![self.snapshot()?]));
        let mut before = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        for (n, host) in self.control_planes().into_iter().enumerate() {
            tasks.extend(self.control_plane(host, n == 0, before)?);
            before = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        }
        tasks.push(task(self.speaker(), "add-ons", vec![before], self.add_ons()?));
        let rolled_out = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        let mut looked = Vec::new();
        for host in cluster.hosts() {
            let look = task(host.name.as_str(), "services", vec![rolled_out.clone()], vec![self.services()?]);
            looked.push(look.id.clone());
            tasks.push(look);
        }
        tasks.extend(self.workers(&looked)?);
        Ok(tasks)
    }

    fn speaker(&self) -> &str {
        &self.context.places.speaker
    }

    /// Whoever speaks for the cluster comes first.
    fn control_planes(&self) -> Vec<&Host> {
        let mut planes: Vec<&Host> = self.context.intent.cluster.control_planes().collect();
        planes.sort_by_key(|host| host.name.as_str() != self.speaker());
        planes
    }

    /// Programs and images, on a host that goes on as it is.
    fn stage(&self, host: &Host) -> Result<Vec<Step>, PlanError> {
        let wanted = self.context.wanted(host)?;
        let mut steps = wanted.runtime_components()?;
        for program in programs_of(host) {
            steps.push(wanted.program(*program)?);
        }
        for step in &mut steps {
            if let StepKind::Component(Component { staged, .. }) = &mut step.action {
                *staged = true;
            }
        }
        steps.push(Step::new("images", Images { images: wanted.images()? }));
        Ok(steps)
    }

    fn snapshot(&self) -> Result<Step, PlanError> {
        let Intent { cluster, program, .. } = self.context.intent;
        let before = cluster.spec().kubernetes.version.to_string();
        let config = Digest::sha256(kubeadm::upgrade(cluster)?.as_bytes());
        Ok(Step::new("etcd/snapshot", EtcdSnapshot { program: (*program).to_owned(), before, config }))
    }

    /// kubeadm while all goes on, then runtime and kubelet while the node is empty.
    fn control_plane(&self, host: &Host, first: bool, before: String) -> Result<Vec<Task>, PlanError> {
        let name = host.name.as_str();
        let mut kubeadm = vec![self.context.wanted(host)?.program(Program::Kubeadm)?];
        let (command, phases) = if first {
            (KubeadmCommand::UpgradeApply, UPGRADE_APPLY_PHASES)
        } else {
            (KubeadmCommand::UpgradeNode, UPGRADE_CONTROL_PLANE_PHASES)
        };
        kubeadm.extend(self.phases(command, phases, host)?);
        let mut tasks = vec![task(name, "kubeadm", vec![before], kubeadm)];
        let emptied = self.drain(host, vec![id(name, "kubeadm")], &mut tasks);
        tasks.push(task(name, "kubelet", emptied, self.kubelet(host)?));
        let ready = [Some(self.ready(host)), self.uncordon(host)].into_iter().flatten().collect();
        tasks.push(task(self.speaker(), &format!("ready-{name}"), vec![id(name, "kubelet")], ready));
        Ok(tasks)
    }

    fn workers(&self, after: &[String]) -> Result<Vec<Task>, PlanError> {
        let mut tasks = Vec::new();
        let workers: Vec<&Host> = self.context.intent.cluster.workers().collect();
        let abreast = self.draining.max_unavailable.max(1);
        for (n, host) in workers.iter().enumerate() {
            let before = n.checked_sub(abreast).map(|earlier| self.last_of(workers[earlier]));
            let after = before.map_or_else(|| after.to_vec(), |before| vec![before]);
            tasks.extend(self.worker(host, after)?);
        }
        Ok(tasks)
    }

    fn worker(&self, host: &Host, after: Vec<String>) -> Result<Vec<Task>, PlanError> {
        let name = host.name.as_str();
        let mut tasks = Vec::new();
        let emptied = self.drain(host, after, &mut tasks);
        let mut steps = vec![self.context.wanted(host)?.program(Program::Kubeadm)?];
        steps.extend(self.phases(KubeadmCommand::UpgradeNode, UPGRADE_WORKER_PHASES, host)?);
        steps.extend(self.kubelet(host)?);
        tasks.push(task(name, "kubelet", emptied, steps));
        let ready = task(self.speaker(), &format!("ready-{name}"), vec![id(name, "kubelet")], vec![self.ready(host)]);
        tasks.push(task(name, "upgraded", vec![ready.id.clone()], vec![self.services()?]));
        tasks.insert(tasks.len() - 1, ready);
        let uncordon = self.uncordon(host).into_iter().collect();
        tasks.push(task(self.speaker(), &format!("return-{name}"), vec![id(name, "upgraded")], uncordon));
        Ok(tasks)
    }

    /// The task that ends the work on a worker.
    fn last_of(&self, worker: &Host) -> String {
        id(self.speaker(), &format!("return-{}", worker.name))
    }

    fn phases(&self, command: KubeadmCommand, phases: &[&str], host: &Host) -> Result<Vec<Step>, PlanError> {
        let cluster = self.context.intent.cluster;
        let config = kubeadm::upgrade(cluster)?;
        let mut steps = steps_of(command, phases, host, &config);
        let founded = self
            .context
            .inventory
            .hosts
            .get(host.name.as_str())
            .is_some_and(|one| matches!(&one.facts.kubernetes, Kubernetes::Sealock(node) if node.founded));
        let (command, config) = if founded {
            (KubeadmCommand::Init, kubeadm::init(cluster, host)?)
        } else {
            (KubeadmCommand::Join, kubeadm::join(cluster, host)?)
        };
        let version = cluster.spec().kubernetes.version.to_string();
        let run_as = RunAs { command, config: Digest::sha256(config.as_bytes()), version };
        steps.push(Step::new("kubeadm/run-as", run_as));
        Ok(steps)
    }

    /// The step that empties the node, behind what it has to wait for: what comes next waits for the answer. The only node of a
    /// cluster is not emptied: there is no other place.
    fn drain(&self, host: &Host, after: Vec<String>, tasks: &mut Vec<Task>) -> Vec<String> {
        let cluster = self.context.intent.cluster;
        if cluster.hosts().len() == 1 {
            return after;
        }
        let node = host.name.to_string();
        let Draining { force, delete_emptydir_data, timeout_seconds, .. } = *self.draining;
        let version = cluster.spec().kubernetes.version.to_string();
        let drained = Drained { node: node.clone(), version, force, delete_emptydir_data, timeout_seconds };
        let drain = task(self.speaker(), &format!("drain-{node}"), after, vec![Step::new("drain", drained)]);
        let emptied = vec![drain.id.clone()];
        tasks.push(drain);
        emptied
    }

    fn kubelet(&self, host: &Host) -> Result<Vec<Step>, PlanError> {
        let wanted = self.context.wanted(host)?;
        let mut steps = wanted.runtime_components()?;
        steps.extend(wanted.container_runtime()?);
        for program in programs_of(host).iter().filter(|program| **program != Program::Kubeadm) {
            steps.push(wanted.program(*program)?);
        }
        let restart_on = KUBELET_READS.map(ToOwned::to_owned).to_vec();
        steps.push(Step::new("kubelet/unit", Unit { running: true, restart_on, ..prepare::kubelet() }));
        Ok(steps)
    }

    fn ready(&self, host: &Host) -> Step {
        let version = Some(self.context.intent.cluster.spec().kubernetes.version.to_string());
        let (node, control_plane) = (host.name.to_string(), host.is_control_plane());
        Step::new("ready", NodeReady { node, control_plane, version, lately: false, timeout_seconds: READY_SECONDS })
    }

    /// Nothing for a node that was not emptied, or took no new pods before.
    fn uncordon(&self, host: &Host) -> Option<Step> {
        let node = host.name.to_string();
        let was_emptied = self.context.intent.cluster.hosts().len() > 1;
        let takes_pods = was_emptied && !self.draining.cordoned.contains(&node);
        takes_pods.then(|| Step::new("uncordon", Uncordoned { node }))
    }

    /// kubeadm's last phase, on the host that speaks for the cluster, and what becomes of it on all.
    fn add_ons(&self) -> Result<Vec<Step>, PlanError> {
        let cluster = self.context.intent.cluster;
        let speaker = cluster.host(self.speaker());
        let speaker = speaker.ok_or_else(|| PlanError::NotObserved { host: self.speaker().to_owned() })?;
        let config = kubeadm::upgrade(cluster)?;
        let mut steps = steps_of(KubeadmCommand::UpgradeApply, UPGRADE_ADD_ONS, speaker, &config);
        for (workload, name) in [(Workload::DaemonSet, "kube-proxy"), (Workload::Deployment, "coredns")] {
            let image = self.image(name)?;
            let step = RolledOut { workload, name: name.to_owned(), image, timeout_seconds: ROLL_OUT_SECONDS };
            steps.push(Step::new(name, step));
        }
        Ok(steps)
    }

    fn services(&self) -> Result<Step, PlanError> {
        let network = &self.context.intent.cluster.spec().network;
        // As kubeadm gives them: the first address is the API server's, and the tenth the DNS's.
        let nth = |n: usize| {
            let problem = format!("{} has no {n} addresses", network.services);
            network.services.hosts().nth(n - 1).ok_or_else(|| SpecError::new("spec.network.services", problem))
        };
        let name = format!("kubernetes.default.svc.{}", network.dns_domain);
        let kube_proxy = self.image("kube-proxy")?;
        Ok(Step::new("services", ServicesAnswer { kube_proxy, api: nth(1)?, dns: nth(10)?, name }))
    }

    /// The image of an add-on, by its whole name.
    fn image(&self, name: &str) -> Result<String, PlanError> {
        let part = format!("/{name}:");
        let found = self.context.intent.kubernetes_images.iter().find(|image| image.contains(&part));
        let version = self.context.intent.cluster.spec().kubernetes.version.to_string();
        found.cloned().ok_or_else(|| PlanError::NoImage { name: name.to_owned(), version })
    }
}

fn programs_of(host: &Host) -> &'static [Program] {
    if host.is_control_plane() {
        &[Program::Kubelet, Program::Kubeadm, Program::Kubectl]
    } else {
        &[Program::Kubelet, Program::Kubeadm]
    }
}

fn id(host: &str, name: &str) -> String {
    format!("{host}/{name}")
}

fn task(host: &str, name: &str, after: Vec<String>, steps: Vec<Step>) -> Task {
    Task { id: id(host, name), host: host.to_owned(), after, secrets: Vec::new(), steps }
}
