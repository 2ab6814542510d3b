//! The plan that brings a cluster to the next version of Kubernetes.
//!
//! What every host needs is there before anything changes. Then the control planes, one after the other; then a look at the services
//! from every node; then the workers. A minor version is never passed over: a longer way is a plan for each of its hops.

use sealock_node::Step;
use sealock_node::facts::Kubernetes;
use sealock_node::step::{
    KubeadmCommand, RolledOut, RunAs, UPGRADE_ADD_ONS, UPGRADE_APPLY_PHASES, UPGRADE_CONTROL_PLANE_PHASES,
    UPGRADE_WORKER_PHASES, Workload,
};
use sealock_trust::Digest;

use super::apply::steps_of;
use super::waves::{Becoming, Draining, KUBEADM, KUBELET, ROLL_OUT_SECONDS, Waves, id, task};
use super::{Intent, Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::release::Program;
use crate::render::kubeadm;
use crate::spec::Host;

/// The plan that brings the hosts of `inventory` from what they are to the version of the spec in `intent`: the next one on their
/// way.
///
/// # Errors
/// A host that is another's, or none yet; conditions that are not met; something that the release lacks.
pub fn plan_upgrade(intent: &Intent<'_>, draining: &Draining, inventory: &Inventory) -> Result<Plan, PlanError> {
    let upgrade = Upgrade { waves: Waves::new(intent, draining, Becoming::Kubernetes, inventory)? };
    let tasks = upgrade.tasks()?;
    upgrade.waves.context.plan(Purpose::Upgrade, tasks)
}

struct Upgrade<'a> {
    waves: Waves<'a>,
}

impl Upgrade<'_> {
    fn tasks(&self) -> Result<Vec<Task>, PlanError> {
        let cluster = self.waves.context.intent.cluster;
        let mut tasks = self.waves.stage()?;
        let staged: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
        let config = Digest::sha256(kubeadm::upgrade(cluster)?.as_bytes());
        tasks.push(self.waves.snapshot(self.waves.kubernetes(), Some(config), staged));
        let mut before = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        for (n, host) in self.waves.control_planes().into_iter().enumerate() {
            tasks.extend(self.control_plane(host, n == 0, before)?);
            before = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        }
        tasks.push(task(self.speaker(), "cluster", vec![before], self.in_cluster()?));
        let rolled_out = tasks.last().map(|task| task.id.clone()).unwrap_or_default();
        let mut looked = Vec::new();
        for host in cluster.hosts() {
            let look = task(host.name.as_str(), "services", vec![rolled_out.clone()], vec![self.waves.services()?]);
            looked.push(look.id.clone());
            tasks.push(look);
        }
        let workers = self.waves.away_first(cluster.workers());
        tasks.extend(self.waves.workers(&workers, &looked, |host, after| self.worker(host, after))?);
        Ok(tasks)
    }

    fn speaker(&self) -> &str {
        self.waves.speaker()
    }

    /// kubeadm while all goes on, then runtime and kubelet while the node is empty.
    fn control_plane(&self, host: &Host, first: bool, before: String) -> Result<Vec<Task>, PlanError> {
        let name = host.name.as_str();
        let mut kubeadm: Vec<Step> = self.waves.kept().into_iter().collect();
        kubeadm.push(self.waves.context.wanted(host)?.program(Program::Kubeadm)?);
        let (command, phases) = if first {
            (KubeadmCommand::UpgradeApply, UPGRADE_APPLY_PHASES)
        } else {
            (KubeadmCommand::UpgradeNode, UPGRADE_CONTROL_PLANE_PHASES)
        };
        kubeadm.extend(self.phases(command, phases, host)?);
        let mut tasks = vec![task(name, KUBEADM, vec![before], kubeadm)];
        let emptied = self.waves.empty(host, vec![id(name, KUBEADM)], &mut tasks);
        tasks.push(task(name, KUBELET, emptied, self.kubelet(host)?));
        let ready = [Some(self.waves.ready(host)?), self.waves.uncordon(host)].into_iter().flatten().collect();
        tasks.push(task(self.speaker(), &format!("ready-{name}"), vec![id(name, KUBELET)], ready));
        Ok(tasks)
    }

    fn worker(&self, host: &Host, after: Vec<String>) -> Result<Vec<Task>, PlanError> {
        let mut steps = vec![self.waves.context.wanted(host)?.program(Program::Kubeadm)?];
        steps.extend(self.phases(KubeadmCommand::UpgradeNode, UPGRADE_WORKER_PHASES, host)?);
        steps.extend(self.kubelet(host)?);
        self.waves.round(host, after, (KUBELET, steps))
    }

    fn phases(&self, command: KubeadmCommand, phases: &[&str], host: &Host) -> Result<Vec<Step>, PlanError> {
        let context = &self.waves.context;
        let cluster = context.intent.cluster;
        let config = kubeadm::upgrade(cluster)?;
        let mut steps = steps_of(command, phases, host.name.as_str(), &config);
        let observed = context.inventory.hosts.get(host.name.as_str());
        let founded =
            observed.is_some_and(|one| matches!(&one.facts.kubernetes, Kubernetes::Sealock(node) if node.founded));
        let (command, config) = if founded {
            (KubeadmCommand::Init, kubeadm::init(cluster, host)?)
        } else {
            (KubeadmCommand::Join, kubeadm::join(cluster, host)?)
        };
        let version = self.waves.kubernetes();
        let run_as = RunAs { command, config: Digest::sha256(config.as_bytes()), version };
        steps.push(Step::new("kubeadm/run-as", run_as));
        Ok(steps)
    }

    fn kubelet(&self, host: &Host) -> Result<Vec<Step>, PlanError> {
        self.waves.context.wanted(host)?.kubelet_of_release()
    }

    /// kubeadm's last phase, on the host that speaks for the cluster, and what becomes of it on all.
    fn in_cluster(&self) -> Result<Vec<Step>, PlanError> {
        let cluster = self.waves.context.intent.cluster;
        let speaker = cluster.host(self.speaker());
        let speaker = speaker.ok_or_else(|| PlanError::NotObserved { host: self.speaker().to_owned() })?;
        let config = kubeadm::upgrade(cluster)?;
        let mut steps = steps_of(KubeadmCommand::UpgradeApply, UPGRADE_ADD_ONS, speaker.name.as_str(), &config);
        for (workload, name) in [(Workload::DaemonSet, "kube-proxy"), (Workload::Deployment, "coredns")] {
            let image = self.waves.image(name)?;
            let step = RolledOut { workload, name: name.to_owned(), image, timeout_seconds: ROLL_OUT_SECONDS };
            steps.push(Step::new(name, step));
        }
        Ok(steps)
    }
}
