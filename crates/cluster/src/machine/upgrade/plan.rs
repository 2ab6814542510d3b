//! What has to be done on this machine, in order. Pure: the same facts, the same release and what was asked give the same plan.

use std::fmt;

use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::step::{
    BY_ITSELF, Drained, EtcdSnapshot, EtcdWell, Kept, KubeadmCommand, NodeReady, ObjectsKept, RolledOut,
    UPGRADE_ADD_ONS, UPGRADE_APPLY_PHASES, UPGRADE_CONTROL_PLANE_PHASES, UPGRADE_WORKER_PHASES, Uncordoned, Workload,
};
use sealock_node::{Probe, Step, StepKind};
use sealock_trust::Digest;
use serde::Serialize;
use std::collections::BTreeMap;

use super::super::error::MachineError;
use super::super::plan::{self as machine, MachinePlan, Purpose, empty, free_or_own, node_name};
use super::begun::{self, BegunUpgrade, Plane};
use super::error::UpgradeError;
use crate::plan::gate::{self, Gate};
use crate::plan::prepare::Wanted;
use crate::plan::waves::{ETCD_SECONDS, READY_SECONDS, ROLL_OUT_SECONDS, image_of, keeps_running, services};
use crate::plan::{PlanError, ReleaseId, steps_of};
use crate::release::{Program, ReleaseView};
use crate::render::kubeadm;
use crate::spec::KubernetesVersion;

pub(super) const KEPT: &str = "kept";
pub(super) const DRAIN: &str = "drain";
const UNCORDON: &str = "uncordon";

/// Where an upgrade leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Another Kubernetes, with all that is below it in the release.
    Kubernetes(KubernetesVersion),
    /// What is below the Kubernetes that runs.
    Components,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubernetes(version) => write!(f, "Kubernetes {version}"),
            Self::Components => f.write_str("other components"),
        }
    }
}

/// How the node is emptied.
#[derive(Clone, Copy, Debug)]
pub struct Emptying {
    /// Whether pods go, too, that nothing starts anew.
    pub force: bool,
    /// Whether pods go, too, that have written into emptyDir volumes.
    pub delete_emptydir_data: bool,
    /// How long it may take.
    pub timeout_seconds: u32,
}

/// What a machine is to become.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// Its version, the images of that, and where it comes from.
    pub prepared: &'a machine::Intent<'a>,
    /// What was asked of its cluster.
    pub begun: &'a BegunUpgrade,
    /// Whether that was in an earlier run, which may have changed something.
    pub resumed: bool,
    /// How many members etcd has, where it was asked in this run.
    pub etcd_members: Option<u32>,
    /// How it is emptied.
    pub emptying: Emptying,
    /// Where Sealock itself is on it.
    pub program: &'a str,
}

/// A node that may be upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgradable {
    /// What its cluster calls it.
    pub node: String,
    /// What it runs, by the older one of kubelet and kubeadm.
    pub from: KubernetesVersion,
    /// What it is to run.
    pub to: KubernetesVersion,
    /// Whether a control plane is on it.
    pub control_plane: bool,
}

/// The node on the machine of `facts`, where it may become `goal`, whatever cluster and release say.
///
/// # Errors
/// No node by itself is here; it is newer, or more than one minor version behind.
pub fn upgradable(goal: Goal, facts: &HostFacts) -> Result<Upgradable, MachineError> {
    free_or_own(facts)?;
    let Kubernetes::Sealock(node) = &facts.kubernetes else { return Err(UpgradeError::NoNode.into()) };
    if node.cluster != BY_ITSELF || !node.complete {
        return Err(UpgradeError::NoNode.into());
    }
    let of = |program: Program| facts.components.get(program.as_str())?.parse::<KubernetesVersion>().ok();
    let (Some(kubelet), Some(kubeadm)) = (of(Program::Kubelet), of(Program::Kubeadm)) else {
        return Err(UpgradeError::NoNode.into());
    };
    let (from, newest) = (kubelet.min(kubeadm), kubelet.max(kubeadm));
    let to = match goal {
        Goal::Kubernetes(to) => to,
        Goal::Components => kubelet,
    };
    let (runs, wanted) = (newest.to_string(), to.to_string());
    if newest > to && goal != Goal::Components {
        return Err(UpgradeError::Older { runs, wanted }.into());
    }
    if from.minor() + 1 < to.minor() {
        return Err(UpgradeError::Skips { from: from.to_string(), wanted }.into());
    }
    Ok(Upgradable { node: node_name(facts).to_owned(), from, to, control_plane: node.control_plane })
}

/// What makes the machine of `facts` what `intent` says.
///
/// # Errors
/// The machine is not fit; the release lacks something.
pub fn upgrade(intent: &Intent<'_>, facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    let Intent { prepared, begun, .. } = intent;
    let asked = (begun.control_plane.is_some(), prepared.overrides);
    let mut failures = gate::of_machine(&begun.node, facts, asked, begun.to);
    // What is begun may have taken the room itself, and half an upgrade is worse than little room.
    failures.retain(|failure| !intent.resumed || failure.gate != Gate::Disk);
    if !failures.is_empty() {
        return Err(PlanError::Gates(failures).into());
    }
    let version = begun.to.to_string();
    let wanted = Wanted {
        claim: BY_ITSELF,
        kubernetes: &version,
        control_plane: begun.control_plane.is_some(),
        architecture: &facts.architecture,
        release: ReleaseView::new(prepared.release),
        registry: prepared.registry,
        images: prepared.images,
        overrides: prepared.overrides,
        running: Some(&facts.components),
        others: &facts.foreign,
        takes_over: None,
    };
    let steps = Steps { intent, wanted }.all()?;
    let release = ReleaseId { number: prepared.release.release.number, digest: prepared.release.digest.clone() };
    Ok(MachinePlan {
        kubernetes: Some(version),
        cluster: Some(begun.cluster.clone()),
        release: Some(release),
        site: Some(prepared.site.clone()),
        deviations: prepared.overrides.deviations(),
        steps,
        warnings: warnings(begun),
        ..empty(Purpose::Upgrade, facts)
    })
}

/// The plan for a `node` that is what it is to be: nothing is done.
pub fn nothing(node: &Upgradable, facts: &HostFacts) -> MachinePlan {
    MachinePlan { kubernetes: Some(node.to.to_string()), ..empty(Purpose::Upgrade, facts) }
}

/// Whether all that `plan` makes of the machine is there, by what the machine says of each step.
pub fn is_through(plan: &MachinePlan, probes: &BTreeMap<String, Probe>) -> bool {
    let only_keeps = |step: &&Step| {
        begun::is_it(step)
            || matches!(step.action, StepKind::Kept(_) | StepKind::ObjectsKept(_) | StepKind::EtcdSnapshot(_))
            // Where all else is done, nothing has to leave.
            || matches!(step.action, StepKind::Drained(_))
            // And nothing of etcd is stopped.
            || matches!(step.action, StepKind::EtcdWell(_))
    };
    let steps = plan.steps.iter().filter(|step| !only_keeps(step));
    steps.into_iter().all(|step| probes.get(&step.id).is_some_and(Probe::is_done))
}

fn warnings(begun: &BegunUpgrade) -> Vec<String> {
    let mut warnings = Vec::new();
    if begun.alone {
        warnings.push(
            "this is the only node: its pods stay and go on to run, and the API is away for moments while it becomes another one"
                .to_owned(),
        );
    }
    if !begun.routed {
        warnings
            .push(format!("this machine has no route to the Services ({}): they are not looked at", begun.services));
    }
    if !begun.components && begun.control_plane.is_some_and(|plane| !plane.last) {
        warnings
            .push("kube-proxy and CoreDNS become others with the last control plane, and this is not the last".into());
    }
    if !begun.components && begun.control_plane.is_none() && begun.kube_proxy.is_none() {
        warnings.push(format!(
            "there is no kube-proxy by which this machine would see that every control plane runs Kubernetes {}: of one, the API server has answered",
            begun.to
        ));
    }
    warnings
}

struct Steps<'a> {
    intent: &'a Intent<'a>,
    wanted: Wanted<'a>,
}

impl Steps<'_> {
    /// Everything is there before anything changes. A control plane serves while kubeadm changes it, and is emptied for its kubelet; a
    /// worker is emptied first.
    fn all(&self) -> Result<Vec<Step>, MachineError> {
        let begun = self.intent.begun;
        if let Some(plane) = begun.control_plane.filter(|_| begun.lacks_add_ons()) {
            return Ok(self.in_cluster(plane)?.into_iter().chain(self.services(true)?).collect());
        }
        let mut steps = vec![begun.step()?];
        steps.extend(self.staged()?);
        match begun.control_plane {
            Some(plane) if !begun.components => self.control_plane(plane, &mut steps)?,
            _ => self.emptied(&mut steps)?,
        }
        Ok(steps)
    }

    fn staged(&self) -> Result<Vec<Step>, MachineError> {
        let begun = self.intent.begun;
        let mut steps = self.wanted.staged(!begun.components)?;
        for step in &mut steps {
            step.id = format!("stage/{}", step.id);
        }
        match begun.control_plane {
            // By it the node empties itself.
            None => steps.push(self.wanted.program(Program::Kubectl)?),
            // What was before is kept already: now it would be something in between.
            Some(_) if self.intent.resumed => {}
            Some(plane) => {
                if plane.first && !begun.components {
                    steps.push(Step::new("objects-kept", ObjectsKept { since: begun.since.clone() }));
                }
                steps.push(self.snapshot()?);
            }
        }
        Ok(steps)
    }

    fn snapshot(&self) -> Result<Step, MachineError> {
        let (begun, program) = (self.intent.begun, self.intent.program.to_owned());
        let release = self.intent.prepared.release.release.number;
        let (before, config) = if begun.components {
            (format!("release-{release}"), None)
        } else {
            (begun.to.to_string(), Some(Digest::sha256(self.config()?.as_bytes())))
        };
        Ok(Step::new("etcd/snapshot", EtcdSnapshot { program, before, config }))
    }

    fn control_plane(&self, plane: Plane, steps: &mut Vec<Step>) -> Result<(), MachineError> {
        steps.extend(self.etcd_well());
        steps.push(self.kept());
        let (command, phases) = if plane.first {
            (KubeadmCommand::UpgradeApply, UPGRADE_APPLY_PHASES)
        } else {
            (KubeadmCommand::UpgradeNode, UPGRADE_CONTROL_PLANE_PHASES)
        };
        steps.extend(self.kubeadm(command, phases)?);
        steps.extend(self.drain());
        steps.extend(self.wanted.kubelet_of_release()?);
        steps.push(self.ready()?);
        steps.extend(self.uncordon());
        if plane.last {
            steps.extend(self.in_cluster(plane)?);
        }
        steps.extend(self.services(plane.last)?);
        Ok(())
    }

    /// The node is emptied, changed, Ready again, looked at from itself, and given back. It is kept first: cut off while it is emptied, the
    /// upgrade goes on.
    fn emptied(&self, steps: &mut Vec<Step>) -> Result<(), MachineError> {
        steps.push(self.kept());
        steps.extend(self.drain());
        if self.intent.begun.components {
            steps.extend(self.wanted.components_of_release()?);
        } else {
            steps.extend(self.kubeadm(KubeadmCommand::UpgradeNode, UPGRADE_WORKER_PHASES)?);
            steps.extend(self.wanted.kubelet_of_release()?);
        }
        steps.push(self.ready()?);
        if self.intent.begun.control_plane.is_none() {
            let kubelet = (!self.intent.begun.components).then_some("kubelet");
            steps.extend(["containerd"].into_iter().chain(kubelet).map(keeps_running));
        }
        steps.extend(self.services(false)?);
        steps.extend(self.uncordon());
        Ok(())
    }

    /// It was asked before images came and a question was answered, and is started anew by kubeadm. Where the upgrade goes on, it may be that
    /// what does not run yet is what kubeadm has to go on with.
    fn etcd_well(&self) -> Option<Step> {
        let members = self.intent.etcd_members?;
        let program = self.intent.program.to_owned();
        Some(Step::new("etcd/well", EtcdWell { program, members, but: None, timeout_seconds: ETCD_SECONDS }))
    }

    fn kept(&self) -> Step {
        Step::new(KEPT, Kept { since: self.intent.begun.since.clone() })
    }

    fn config(&self) -> Result<String, MachineError> {
        let Intent { prepared, begun, .. } = self.intent;
        Ok(kubeadm::upgrade_to(begun.to, prepared.overrides).map_err(PlanError::from)?)
    }

    fn kubeadm(&self, command: KubeadmCommand, phases: &[&str]) -> Result<Vec<Step>, MachineError> {
        let mut steps = vec![self.wanted.program(Program::Kubeadm)?];
        steps.extend(steps_of(command, phases, &self.intent.begun.node, &self.config()?));
        Ok(steps)
    }

    fn drain(&self) -> Option<Step> {
        let Intent { begun, emptying, .. } = self.intent;
        let Emptying { force, delete_emptydir_data, timeout_seconds } = *emptying;
        let version = (!begun.components).then(|| begun.to.to_string());
        let drained = Drained { node: begun.node.clone(), version, force, delete_emptydir_data, timeout_seconds };
        (!begun.alone).then(|| Step::new(DRAIN, drained))
    }

    fn uncordon(&self) -> Option<Step> {
        let begun = self.intent.begun;
        let takes_pods = !begun.alone && !begun.cordoned;
        takes_pods.then(|| Step::new(UNCORDON, Uncordoned { node: begun.node.clone() }))
    }

    fn ready(&self) -> Result<Step, MachineError> {
        let begun = self.intent.begun;
        let containerd = if begun.components { Some(self.wanted.newest(Program::Containerd)?) } else { None };
        let ready = NodeReady {
            node: begun.node.clone(),
            control_plane: begun.control_plane.is_some(),
            version: Some(begun.to.to_string()),
            containerd,
            lately: false,
            timeout_seconds: READY_SECONDS,
        };
        Ok(Step::new("ready", ready))
    }

    /// kubeadm's last phase, kube-proxy and CoreDNS, and what becomes of it on all nodes.
    fn in_cluster(&self, plane: Plane) -> Result<Vec<Step>, MachineError> {
        let Intent { prepared, begun, .. } = self.intent;
        let mut steps = steps_of(KubeadmCommand::UpgradeApply, UPGRADE_ADD_ONS, &begun.node, &self.config()?);
        let all = [
            (begun.kube_proxy.is_some(), Workload::DaemonSet, "kube-proxy"),
            (plane.coredns, Workload::Deployment, "coredns"),
        ];
        for (_, workload, name) in all.into_iter().filter(|(is_there, ..)| *is_there) {
            let image = image_of(prepared.images, name, &begun.to.to_string())?;
            let step = RolledOut { workload, name: name.to_owned(), image, timeout_seconds: ROLL_OUT_SECONDS };
            steps.push(Step::new(name, step));
        }
        Ok(steps)
    }

    /// Nothing where the cluster's services are not kube-proxy's, or the machine has no way to them by itself, whatever kube-proxy does.
    fn services(&self, is_new: bool) -> Result<Option<Step>, MachineError> {
        let Intent { prepared, begun, .. } = self.intent;
        let Some(runs) = begun.kube_proxy.as_ref().filter(|_| begun.routed) else { return Ok(None) };
        let image = if is_new { image_of(prepared.images, "kube-proxy", &begun.to.to_string())? } else { runs.clone() };
        Ok(Some(services(begun.services, &begun.dns_domain, image)?))
    }
}
