//! The plans that replace the authorities of a cluster by others while it serves: believed first, then issuing, then the old ones are
//! dropped. Each is a plan of its own: when the next stage comes, a person decides.

use std::collections::{BTreeMap, BTreeSet};

use sealock_node::Step;
use sealock_node::StepKind;
use sealock_node::facts::{CertificateFact, HostFacts};
use sealock_node::kubernetes_certificates::{AUTHORITIES, AuthorityFiles, KUBELET_CLIENT, authority_of};
use sealock_node::request::Registry;
use sealock_node::step::{
    Authorities, AuthoritiesForgotten, AuthoritiesMade, AuthoritiesPublished, AuthoritiesSupplied, EtcdSnapshot,
    KubeletCertificate, NodeReady, Restarted, Stage, Unit, Workload,
};
use sealock_store::release::Published;
use sealock_trust::Digest;
use serde_json::Value;

mod error;
mod supplied;

pub use error::AuthoritiesError;
pub(crate) use supplied::brought_by;

use self::supplied::digests_of;

use super::apply::{planned_hosts, ready};
use super::components::check_nodes;
use super::custody::check_service_accounts;
use super::gate::check_fit;
use super::places::Places;
use super::waves::{id, task};
use super::{Assessment, Plan, PlanError, Purpose, SecretKind, Task, prepare};
use crate::inventory::Inventory;
use crate::render::kubeadm;
use crate::spec::{Cluster, Host};

/// How long a node may take to be Ready after something of it was started anew.
const READY_SECONDS: u32 = 600;
/// How long the controller manager may take to tell every namespace.
const PUBLISH_SECONDS: u32 = 300;
/// How long the pods of a workload may take to be new.
const RESTART_SECONDS: u32 = 600;
/// kubelet believes what stands there, and is started anew where it changes.
const KUBELET_READS: [&str; 2] = ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/kubelet.conf"];

/// A workload whose pods are started anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workloads {
    /// Its namespace.
    pub namespace: String,
    /// What it is.
    pub kind: Workload,
    /// Its name.
    pub name: String,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// How far authorities are to be replaced.
    pub stage: Stage,
    /// Where Sealock itself is on every host.
    pub program: &'a str,
    /// What is started anew before new authorities issue.
    pub restart: Vec<Workloads>,
    /// The authorities of the spec, where somebody else makes them: those that come next.
    pub supplied: Option<&'a AuthoritiesSupplied>,
}

/// The plan that brings the authorities of `cluster` to a stage.
///
/// # Errors
/// A host that is another's, no node or not fit; the stage before is not reached everywhere; authorities that kubeadm does not keep.
pub fn plan_authorities(
    cluster: &Cluster,
    (release, registry): (&Published, &Registry),
    inventory: &Inventory,
    order: &Order<'_>,
) -> Result<Plan, PlanError> {
    check_fit(cluster, inventory)?;
    check_nodes(cluster, inventory)?;
    if let Some(supplied) = order.supplied {
        // Said before anything is replaced: by then every other command would refuse what the spec says.
        check_service_accounts(cluster, supplied, inventory)?;
    }
    if cluster.spec().overrides.kubelet.get("serverTLSBootstrap") == Some(&Value::Bool(true)) {
        return Err(AuthoritiesError::ServingKubelets.into());
    }
    let speaker = speaker(cluster, inventory);
    let standing = Standing::of(cluster, inventory, &speaker)?;
    let old = match order.stage {
        Stage::Trust => standing.before_trust()?,
        Stage::Issue => standing.before_issue()?,
        Stage::Drop => standing.before_drop(cluster)?,
    };
    let next = order.supplied.map(digests_of).unwrap_or_default();
    standing.check_supplied(&old, &next)?;
    let mut lost = if order.stage == Stage::Trust { standing.lost(&old) } else { BTreeSet::new() };
    // What is brought again is not lost.
    lost.retain(|one| !next.values().any(|next| next == one));
    let change = Change { cluster, speaker: &speaker, order, old, lost };
    let tasks = change.tasks()?;
    Ok(Plan {
        local_endpoint: cluster.local_endpoint().map(ToString::to_string),
        hosts: planned_hosts(cluster, inventory, &BTreeMap::new())?,
        tasks,
        speaker,
        ..Plan::of(cluster, release, registry, Purpose::Authorities)
    })
}

/// Who speaks for the cluster; where authorities wait to issue, a control plane that keeps them: one that has joined since does not.
fn speaker(cluster: &Cluster, inventory: &Inventory) -> String {
    let usual = Places::of(cluster, inventory, "").speaker;
    let keeps = |name: &str| {
        let facts = inventory.hosts.get(name).map(|one| &one.facts);
        facts.is_some_and(|facts| AUTHORITIES.iter().all(|files| !held(facts, files.next).is_empty()))
    };
    if keeps(&usual) {
        return usual;
    }
    let keeper = cluster.control_planes().map(|host| host.name.as_str()).find(|name| keeps(name));
    keeper.map_or(usual, ToOwned::to_owned)
}

/// Which control plane `plan` is at, by what was found of its steps: the first one where authorities are not as far as its stage.
pub fn plane_under_way<'a>(plan: &'a Plan, assessment: &Assessment) -> Option<&'a str> {
    let changes_plane = |task: &&Task| {
        let is_plane = |step: &Step| matches!(&step.action, StepKind::Authorities(change) if change.control_plane);
        task.steps.iter().any(is_plane)
    };
    let under_way = plan.tasks.iter().filter(changes_plane).find(|task| !assessment.is_done(task));
    under_way.map(|task| task.host.as_str())
}

/// How far `plan` replaces authorities, where it does.
pub(crate) fn stage_of(plan: &Plan) -> Option<Stage> {
    let steps = plan.tasks.iter().flat_map(|task| &task.steps);
    let stages = steps.filter_map(|step| match &step.action {
        StepKind::Authorities(authorities) => Some(authorities.stage),
        _ => None,
    });
    // Whoever lets new ones issue makes sure first that they are believed.
    stages.max()
}

/// Whether new authorities issue anywhere: who has not read them is late by then.
pub(crate) fn is_issuing(inventory: &Inventory) -> bool {
    let [kubernetes, ..] = AUTHORITIES;
    let first = |facts: &HostFacts, path: &str| held(facts, path).into_iter().next();
    inventory.hosts.values().map(|one| &one.facts).any(|facts| {
        let next = first(facts, kubernetes.next);
        next.is_some() && next == first(facts, kubernetes.certificate)
    })
}

/// No host believes two authorities of a kind.
pub(crate) fn check_alone(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    let facts = inventory.hosts.values().map(|one| &one.facts);
    let two = |facts: &HostFacts| AUTHORITIES.iter().any(|files| held(facts, files.certificate).len() > 1);
    if facts.into_iter().any(two) {
        return Err(AuthoritiesError::Overlap { cluster: cluster.name().to_string() }.into());
    }
    Ok(())
}

type ByFile = BTreeMap<String, Digest>;

/// What the hosts hold now.
struct Standing<'a> {
    hosts: Vec<(&'a Host, &'a HostFacts)>,
    speaker: &'a HostFacts,
}

impl<'a> Standing<'a> {
    fn of(cluster: &'a Cluster, inventory: &'a Inventory, speaker: &str) -> Result<Self, PlanError> {
        let facts = |name: &str| {
            let found = inventory.hosts.get(name).map(|one| &one.facts);
            found.ok_or_else(|| PlanError::NotObserved { host: name.to_owned() })
        };
        let mut hosts = Vec::new();
        for host in cluster.hosts() {
            let facts = facts(host.name.as_str())?;
            for files in files_of(host) {
                if held(facts, files.certificate).is_empty() {
                    let (host, path) = (host.name.to_string(), files.certificate.to_owned());
                    return Err(AuthoritiesError::Elsewhere { host, path }.into());
                }
            }
            hosts.push((host, facts));
        }
        Ok(Self { hosts, speaker: facts(speaker)? })
    }

    /// The authorities that issue, where those of every host do.
    fn before_trust(&self) -> Result<ByFile, AuthoritiesError> {
        let old = first_of(self.speaker);
        for (host, facts) in &self.hosts {
            let waits = |files: &AuthorityFiles| held(facts, files.next).first() == old.get(files.certificate);
            let issues = |files: &AuthorityFiles| held(facts, files.certificate).first() == old.get(files.certificate);
            if files_of(host).iter().any(|files| !issues(files) || waits(files)) {
                return Err(AuthoritiesError::Issues { host: host.name.to_string() });
            }
        }
        Ok(old)
    }

    /// The authorities that are replaced, where every host believes those that wait, too.
    fn before_issue(&self) -> Result<ByFile, AuthoritiesError> {
        let mut old = ByFile::new();
        for files in AUTHORITIES {
            let next = held(self.speaker, files.next).first().cloned();
            for (host, facts) in self.hosts.iter().filter(|(host, _)| has(host, &files)) {
                let believed = held(facts, files.certificate);
                let other = believed.iter().find(|one| Some(*one) != next.as_ref());
                let both = next.as_ref().is_some_and(|next| believed.len() == 2 && believed.contains(next));
                let (true, Some(other)) = (both, other) else {
                    return Err(AuthoritiesError::NotTrusted { host: host.name.to_string() });
                };
                if old.entry(files.certificate.to_owned()).or_insert_with(|| other.clone()) != other {
                    return Err(AuthoritiesError::NotTrusted { host: host.name.to_string() });
                }
            }
        }
        Ok(old)
    }

    /// The authorities that are to be believed no more, where nothing is theirs. None, where no host believes them, and a change that was
    /// cut off has not told the cluster.
    fn before_drop(&self, cluster: &Cluster) -> Result<ByFile, AuthoritiesError> {
        let (issuing, mut old) = (first_of(self.speaker), ByFile::new());
        for (host, facts) in &self.hosts {
            for files in files_of(host) {
                let (believed, wanted) = (held(facts, files.certificate), issuing.get(files.certificate));
                // What waits and does not issue is not to be dropped instead.
                let waits = held(facts, files.next).first().is_some_and(|next| Some(next) != wanted);
                if waits || believed.first() != wanted {
                    let (host, path) = (host.name.to_string(), files.certificate.to_owned());
                    return Err(AuthoritiesError::NotIssued { host, path });
                }
                old.extend(believed.get(1).map(|second| (files.certificate.to_owned(), second.clone())));
            }
            let is_leaf = |one: &&CertificateFact| one.renewable || one.path == KUBELET_CLIENT;
            let is_old =
                |one: &&CertificateFact| one.issued_by.as_ref() != issuing.get(authority_of(&one.path).certificate);
            if let Some(leaf) = facts.certificates.iter().filter(is_leaf).find(is_old) {
                return Err(AuthoritiesError::NotIssued { host: host.name.to_string(), path: leaf.path.clone() });
            }
        }
        // What is kept of them goes at the very end.
        let forgotten =
            self.hosts.iter().all(|(_, facts)| AUTHORITIES.iter().all(|files| held(facts, files.next).is_empty()));
        match old.is_empty() && forgotten {
            true => Err(AuthoritiesError::NothingToDrop { cluster: cluster.name().to_string() }),
            false => Ok(old),
        }
    }

    /// What is believed to come next somewhere, and does not wait where it would be fetched from.
    fn lost(&self, old: &ByFile) -> BTreeSet<Digest> {
        let mut lost = BTreeSet::new();
        for files in AUTHORITIES {
            let next = held(self.speaker, files.next);
            for (_, facts) in &self.hosts {
                let others = held(facts, files.certificate).into_iter();
                lost.extend(others.filter(|one| Some(one) != old.get(files.certificate) && !next.contains(one)));
            }
        }
        lost
    }
}

/// The authorities in the file `path` of a host, in their order.
fn held(facts: &HostFacts, path: &str) -> Vec<Digest> {
    let held = facts.certificates.iter().filter(|one| one.path == path);
    held.filter_map(|one| one.digest.clone()).collect()
}

fn first_of(facts: &HostFacts) -> ByFile {
    let first = |files: &AuthorityFiles| {
        Some((files.certificate.to_owned(), held(facts, files.certificate).into_iter().next()?))
    };
    AUTHORITIES.iter().filter_map(first).collect()
}

/// Workers have Kubernetes' own alone.
fn files_of(host: &Host) -> &'static [AuthorityFiles] {
    static FILES: [AuthorityFiles; 3] = AUTHORITIES;
    if host.is_control_plane() { &FILES } else { &FILES[..1] }
}

fn has(host: &Host, files: &AuthorityFiles) -> bool {
    files_of(host).iter().any(|one| one.certificate == files.certificate)
}

struct Change<'a> {
    cluster: &'a Cluster,
    speaker: &'a str,
    order: &'a Order<'a>,
    old: ByFile,
    lost: BTreeSet<Digest>,
}

impl Change<'_> {
    fn tasks(&self) -> Result<Vec<Task>, PlanError> {
        let before = format!("authorities-{}", self.order.stage);
        let snapshot = EtcdSnapshot { program: self.order.program.to_owned(), before, config: None };
        let mut tasks = vec![task(self.speaker, "snapshot", Vec::new(), vec![Step::new("etcd/snapshot", snapshot)])];
        match self.order.stage {
            Stage::Trust => {
                self.made(&mut tasks);
                self.everywhere(&mut tasks, Stage::Trust)?;
                self.publish(&mut tasks, false);
                self.restart(&mut tasks, &self.add_ons());
            }
            Stage::Issue => {
                // A host that has joined since has it from the cluster, but for the keys.
                self.everywhere(&mut tasks, Stage::Trust)?;
                self.restart(&mut tasks, &self.order.restart);
                self.planes(&mut tasks, Stage::Issue)?;
                self.kubelets(&mut tasks)?;
                self.publish(&mut tasks, false);
            }
            Stage::Drop => {
                self.everywhere(&mut tasks, Stage::Drop)?;
                self.publish(&mut tasks, true);
                self.restart(&mut tasks, &self.add_ons());
                self.forget(&mut tasks);
            }
        }
        let all = ends_of(&tasks);
        tasks.push(ready(self.cluster, self.speaker, all, (true, READY_SECONDS)));
        Ok(tasks)
    }

    /// The new ones, made where the present ones are kept; or brought there, where somebody else has made them.
    fn made(&self, tasks: &mut Vec<Task>) {
        let supplied = self.order.supplied.map(|supplied| supplied.certificates.clone()).unwrap_or_default();
        let secrets = if supplied.is_empty() { Vec::new() } else { vec![SecretKind::SuppliedAuthorities] };
        let made = AuthoritiesMade { old: self.old.clone(), supplied };
        let behind = ends_of(tasks);
        tasks.push(Task { secrets, ..task(self.speaker, "made", behind, vec![Step::new("authorities", made)]) });
    }

    /// A task on the host that speaks for the cluster, behind all others.
    fn then(&self, tasks: &mut Vec<Task>, name: &str, steps: Vec<Step>) {
        if !steps.is_empty() {
            let behind = ends_of(tasks);
            tasks.push(task(self.speaker, name, behind, steps));
        }
    }

    /// The control planes one after the other, and then the workers.
    fn everywhere(&self, tasks: &mut Vec<Task>, stage: Stage) -> Result<(), PlanError> {
        self.planes(tasks, stage)?;
        let before = ends_of(tasks);
        for host in self.cluster.workers() {
            let steps = vec![self.authorities(host, stage)?, kubelet_anew()];
            let secrets = if stage == Stage::Trust { vec![SecretKind::NextAuthority] } else { Vec::new() };
            tasks.push(Task { secrets, ..task(host.name.as_str(), stage.as_str(), before.clone(), steps) });
        }
        Ok(())
    }

    /// One after the other, and each is looked at before the next one. Not where those that come to be believed are made sure of, before
    /// they issue: what was cut off in between is brought up by the stage alone, and each step waits for its host's servers by itself.
    fn planes(&self, tasks: &mut Vec<Task>, stage: Stage) -> Result<(), PlanError> {
        let mut planes: Vec<&Host> = self.cluster.control_planes().collect();
        planes.sort_by_key(|host| host.name.as_str() != self.speaker);
        for host in planes {
            let name = host.name.as_str();
            let mut steps = vec![self.authorities(host, stage)?];
            if stage != Stage::Issue {
                steps.push(kubelet_anew());
            }
            let secrets = if stage == Stage::Trust { vec![SecretKind::Authorities] } else { Vec::new() };
            let behind = ends_of(tasks);
            tasks.push(Task { secrets, ..task(name, stage.as_str(), behind, steps) });
            if stage != self.order.stage {
                continue;
            }
            let look = NodeReady {
                node: name.to_owned(),
                control_plane: true,
                version: None,
                containerd: None,
                lately: false,
                timeout_seconds: READY_SECONDS,
            };
            let looked = format!("{stage}-{name}");
            tasks.push(task(self.speaker, &looked, vec![id(name, stage.as_str())], vec![Step::new("ready", look)]));
        }
        Ok(())
    }

    fn authorities(&self, host: &Host, stage: Stage) -> Result<Step, PlanError> {
        let old = self.old.iter().filter(|(path, _)| files_of(host).iter().any(|files| files.certificate == **path));
        let control_plane = host.is_control_plane();
        let makes = stage == Stage::Issue && control_plane;
        let config = if makes { kubeadm::init(self.cluster, host)? } else { String::new() };
        let old = old.map(|(path, digest)| (path.clone(), digest.clone())).collect();
        Ok(Step::new("authorities", Authorities { stage, control_plane, old, lost: self.lost.clone(), config }))
    }

    /// Every kubelet gets a certificate of the new authority, which issues on all control planes by then.
    fn kubelets(&self, tasks: &mut Vec<Task>) -> Result<(), PlanError> {
        let before = ends_of(tasks);
        let [kubernetes, ..] = AUTHORITIES;
        for host in self.cluster.hosts() {
            let mut steps = Vec::new();
            if !host.is_control_plane() {
                steps.push(self.authorities(host, Stage::Issue)?);
            }
            let replaced = self.old.get(kubernetes.certificate).cloned();
            steps
                .push(Step::new("kubelet", KubeletCertificate { node: host.name.to_string(), replaced, signed: None }));
            // What it believes stands in another order now: whoever looks again finds it started with that.
            steps.push(kubelet_anew());
            let secrets = vec![SecretKind::KubeletCertificate];
            tasks.push(Task { secrets, ..task(host.name.as_str(), "kubelet", before.clone(), steps) });
        }
        Ok(())
    }

    fn publish(&self, tasks: &mut Vec<Task>, alone: bool) {
        let published = AuthoritiesPublished { alone, timeout_seconds: PUBLISH_SECONDS };
        self.then(tasks, "published", vec![Step::new("authorities", published)]);
    }

    fn restart(&self, tasks: &mut Vec<Task>, workloads: &[Workloads]) {
        let restart = |one: &Workloads| {
            let restarted = Restarted {
                workload: one.kind,
                namespace: one.namespace.clone(),
                name: one.name.clone(),
                because: self.order.stage.to_string(),
                timeout_seconds: RESTART_SECONDS,
            };
            Step::new(format!("{}/{}/{}", one.namespace, one.kind.as_str(), one.name), restarted)
        };
        self.then(tasks, "restarted", workloads.iter().map(restart).collect());
    }

    /// The very last: until then the files say that the old ones are not dropped everywhere.
    fn forget(&self, tasks: &mut Vec<Task>) {
        let behind = ends_of(tasks);
        for host in self.cluster.control_planes() {
            let steps = vec![Step::new("authorities", AuthoritiesForgotten {})];
            tasks.push(task(host.name.as_str(), "forgotten", behind.clone(), steps));
        }
    }

    /// What kubeadm brings and reads the authority at its start alone.
    fn add_ons(&self) -> Vec<Workloads> {
        let add_on = |kind, name: &str| Workloads { namespace: "kube-system".to_owned(), kind, name: name.to_owned() };
        vec![add_on(Workload::DaemonSet, "kube-proxy"), add_on(Workload::Deployment, "coredns")]
    }
}

/// kubelet, started anew where what it believes has changed.
fn kubelet_anew() -> Step {
    let restart_on = KUBELET_READS.map(ToOwned::to_owned).to_vec();
    Step::new("kubelet/unit", Unit { running: true, restart_on, ..prepare::kubelet() })
}

/// The tasks that no other one waits for.
fn ends_of(tasks: &[Task]) -> Vec<String> {
    let waited_for: BTreeSet<&String> = tasks.iter().flat_map(|task| &task.after).collect();
    tasks.iter().map(|task| &task.id).filter(|id| !waited_for.contains(id)).cloned().collect()
}
