//! Nodes that become something else one after the other: each is emptied, changed, looked at, and given back. What an upgrade of
//! Kubernetes and one of components have in common.
//!
//! What every host needs is there before anything changes.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use sealock_node::Step;
use sealock_node::step::{
    Drained, EtcdSnapshot, KeepsRunning, Kept, NodeReady, ObjectsKept, ServicesAnswer, Uncordoned,
};
use sealock_trust::Digest;

use super::apply::{Context, check_owners};
use super::gate::check_fit;
use super::places::Places;
use super::{Intent, Phase, PlanError, Task, os_packages};
use crate::inventory::Inventory;
use crate::release::Program;
use crate::spec::{Drain, Host, SpecError, Upgrade};

/// How long a node may take to be Ready as what it has become.
pub(crate) const READY_SECONDS: u32 = 600;
/// How long etcd may take to be well.
pub(crate) const ETCD_SECONDS: u32 = 300;
/// How long a service that was started anew is to run, before its node is given back.
const KEEPS_RUNNING_SECONDS: u32 = 5;
/// How long kube-proxy or CoreDNS may take to run everywhere.
pub(crate) const ROLL_OUT_SECONDS: u32 = 600;

/// The name of the task that looks from a node at what has become of it.
pub(super) const LOOK: &str = "upgraded";
/// The name of the task in which kubeadm changes a control plane.
pub(super) const KUBEADM: &str = "kubeadm";
/// The name of the task in which a node's kubelet becomes another one.
pub(super) const KUBELET: &str = "kubelet";
/// The name of the task in which a node's components change.
pub(super) const CHANGE: &str = "components";

/// How nodes are emptied before they become something else, and under which name is kept what they are.
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
    /// Nodes that an earlier attempt emptied and did not give back: they are ended with before another one is begun.
    pub away: BTreeSet<String>,
    /// What the cluster is before anything of it is done, like `v1.36.3 of release 1, plan 3f2a91c0d4e7`: what the nodes are then is kept under that name.
    /// Empty where it was begun without keeping anything: by now nodes are something in between.
    pub since: String,
}

impl Draining {
    /// As the spec wants it, before anybody has looked at the nodes.
    pub fn of(policy: &Upgrade) -> Self {
        let Upgrade { max_unavailable, drain, .. } = policy;
        Self {
            force: drain.force,
            delete_emptydir_data: drain.delete_emptydir_data,
            timeout_seconds: drain.timeout_seconds.unwrap_or(Drain::TIMEOUT_SECONDS),
            max_unavailable: max_unavailable.map_or(1, |number| number.get().into()),
            cordoned: BTreeSet::new(),
            away: BTreeSet::new(),
            since: String::new(),
        }
    }
}

/// What nodes become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becoming {
    /// Another Kubernetes, whatever else changes with it.
    Kubernetes,
    /// The same one, on other components.
    Components,
    /// The same one, on a machine with other OS packages.
    Patched,
}

/// What the tasks of a plan are made from that changes nodes one after the other.
pub(super) struct Waves<'a> {
    pub(super) context: Context<'a>,
    draining: &'a Draining,
    becoming: Becoming,
}

impl<'a> Waves<'a> {
    /// # Errors
    /// A host is another's, none yet, or not fit.
    pub(super) fn new(
        intent: &'a Intent<'a>,
        draining: &'a Draining,
        becoming: Becoming,
        inventory: &'a Inventory,
    ) -> Result<Self, PlanError> {
        check_fit(intent.cluster, inventory)?;
        Self::back(intent, draining, becoming, inventory)
    }

    /// The same on the way back: what has failed need not be fit.
    ///
    /// # Errors
    /// A host is another's, or none yet.
    pub(super) fn back(
        intent: &'a Intent<'a>,
        draining: &'a Draining,
        becoming: Becoming,
        inventory: &'a Inventory,
    ) -> Result<Self, PlanError> {
        let cluster = intent.cluster;
        check_owners(cluster, inventory)?;
        let ranges = cluster.pod_ranges(intent.earlier_pod_ranges)?;
        let places = Places::of(cluster, inventory, intent.earlier_speaker);
        if places.beginning {
            let first = cluster.hosts().first().map(|host| host.name.to_string()).unwrap_or_default();
            return Err(PlanError::NotANode { host: first });
        }
        Ok(Self { context: Context::new(intent, inventory, ranges, places), draining, becoming })
    }

    pub(super) fn speaker(&self) -> &str {
        &self.context.places.speaker
    }

    /// The name under which is kept what nodes are.
    pub(super) fn since(&self) -> &str {
        &self.draining.since
    }

    /// Whether an earlier attempt has emptied `host` and not given it back.
    pub(super) fn is_away(&self, host: &Host) -> bool {
        self.draining.away.contains(host.name.as_str())
    }

    /// Whoever speaks for the cluster comes first, and then who is away already.
    pub(super) fn control_planes(&self) -> Vec<&'a Host> {
        let mut planes = self.away_first(self.context.intent.cluster.control_planes());
        planes.sort_by_key(|host| host.name.as_str() != self.speaker());
        planes
    }

    /// Whoever is away already, and then the others in their order.
    pub(super) fn away_first(&self, hosts: impl Iterator<Item = &'a Host>) -> Vec<&'a Host> {
        let (away, here): (Vec<_>, Vec<_>) = hosts.partition(|host| self.is_away(host));
        [away, here].concat()
    }

    /// Programs, and where it becomes another Kubernetes images, on every host, which goes on as it is.
    pub(super) fn stage(&self) -> Result<Vec<Task>, PlanError> {
        let hosts = self.context.intent.cluster.hosts().iter();
        hosts.map(|host| Ok(task(host.name.as_str(), Phase::Stage.as_str(), Vec::new(), self.staged(host)?))).collect()
    }

    fn staged(&self, host: &Host) -> Result<Vec<Step>, PlanError> {
        self.context.wanted(host)?.staged(self.becoming == Becoming::Kubernetes)
    }

    /// A snapshot of etcd, and of what kubeadm changes in it, before the cluster becomes `before`; `config` is kubeadm's, where kubeadm changes it.
    pub(super) fn snapshot(&self, before: String, config: Option<Digest>, after: Vec<String>) -> Task {
        let program = self.context.intent.program.to_owned();
        let mut steps = Vec::new();
        if self.becoming == Becoming::Kubernetes && !self.since().is_empty() {
            steps.push(Step::new("objects-kept", ObjectsKept { since: self.since().to_owned() }));
        }
        steps.push(Step::new("etcd/snapshot", EtcdSnapshot { program, before, config }));
        task(self.speaker(), "snapshot", after, steps)
    }

    /// The first step of whatever changes a node.
    pub(super) fn kept(&self) -> Option<Step> {
        let since = self.since().to_owned();
        (!since.is_empty()).then(|| Step::new("kept", Kept { since }))
    }

    /// Each by its `round`, as many at a time as may be away; the first ones wait for the tasks in `after`.
    pub(super) fn workers(
        &self,
        workers: &[&Host],
        after: &[String],
        round: impl Fn(&Host, Vec<String>) -> Result<Vec<Task>, PlanError>,
    ) -> Result<Vec<Task>, PlanError> {
        let mut tasks = Vec::new();
        let abreast = self.draining.max_unavailable.max(1);
        for (n, host) in workers.iter().enumerate() {
            let before = n.checked_sub(abreast).map(|earlier| self.last_of(workers[earlier]));
            tasks.extend(round(host, before.map_or_else(|| after.to_vec(), |before| vec![before]))?);
        }
        Ok(tasks)
    }

    /// `host` is emptied, changed by `steps`, Ready again, looked at from itself, and given back.
    pub(super) fn round(
        &self,
        host: &Host,
        after: Vec<String>,
        (change, steps): (&str, Vec<Step>),
    ) -> Result<Vec<Task>, PlanError> {
        let name = host.name.as_str();
        let mut tasks = Vec::new();
        let emptied = self.empty(host, after, &mut tasks);
        let steps = self.kept().into_iter().chain(steps).collect();
        tasks.push(task(name, change, emptied, steps));
        let ready = self.ready(host)?;
        tasks.push(task(self.speaker(), &format!("ready-{name}"), vec![id(name, change)], vec![ready]));
        let is_ready = vec![id(self.speaker(), &format!("ready-{name}"))];
        let runs = self.started_anew().iter().filter(|_| !host.is_control_plane());
        let looks = runs.map(|service| keeps_running(service)).chain([self.services()?]).collect();
        tasks.push(task(name, LOOK, is_ready, looks));
        let uncordon = self.uncordon(host).into_iter().collect();
        tasks.push(task(self.speaker(), &format!("return-{name}"), vec![id(name, LOOK)], uncordon));
        Ok(tasks)
    }

    /// The task that ends a [round](Self::round).
    pub(super) fn last_of(&self, host: &Host) -> String {
        id(self.speaker(), &format!("return-{}", host.name))
    }

    /// The step that empties the node, behind what it has to wait for: what comes next waits for the answer. The only node of a
    /// cluster is not emptied: there is no other place.
    pub(super) fn empty(&self, host: &Host, after: Vec<String>, tasks: &mut Vec<Task>) -> Vec<String> {
        let cluster = self.context.intent.cluster;
        if cluster.hosts().len() == 1 {
            return after;
        }
        let node = host.name.to_string();
        let Draining { force, delete_emptydir_data, timeout_seconds, .. } = *self.draining;
        let version = (self.becoming == Becoming::Kubernetes).then(|| self.kubernetes());
        let drained = Drained { node: node.clone(), version, force, delete_emptydir_data, timeout_seconds };
        let drain = task(self.speaker(), &format!("drain-{node}"), after, vec![Step::new("drain", drained)]);
        let emptied = vec![drain.id.clone()];
        tasks.push(drain);
        emptied
    }

    pub(super) fn ready(&self, host: &Host) -> Result<Step, PlanError> {
        let (node, control_plane) = (host.name.to_string(), host.is_control_plane());
        let containerd = match self.becoming {
            Becoming::Kubernetes | Becoming::Patched => None,
            Becoming::Components => Some(self.context.wanted(host)?.newest(Program::Containerd)?),
        };
        let version = Some(self.kubernetes());
        // A machine that was started anew counts as Ready for a while by what its kubelet said before.
        let lately = self.becoming == Becoming::Patched;
        let ready = NodeReady { node, control_plane, version, containerd, lately, timeout_seconds: READY_SECONDS };
        Ok(Step::new("ready", ready))
    }

    /// What may have been started anew on a node, and is seen to stay. Of a control plane, and of a machine that was started anew, the wait
    /// for it to be [ready](Self::ready) shows that.
    fn started_anew(&self) -> &'static [&'static str] {
        match self.becoming {
            Becoming::Kubernetes => &["containerd", "kubelet"],
            Becoming::Components => &["containerd"],
            Becoming::Patched => &[],
        }
    }

    /// Nothing for a node that was not emptied, or took no new pods before.
    pub(super) fn uncordon(&self, host: &Host) -> Option<Step> {
        let node = host.name.to_string();
        let was_emptied = self.context.intent.cluster.hosts().len() > 1 || self.is_away(host);
        let takes_pods = was_emptied && !self.draining.cordoned.contains(&node);
        takes_pods.then(|| Step::new("uncordon", Uncordoned { node }))
    }

    pub(super) fn services(&self) -> Result<Step, PlanError> {
        let network = &self.context.intent.cluster.spec().network;
        services(network.services, &network.dns_domain, self.image("kube-proxy")?)
    }

    /// The image of an add-on of kubeadm, by its whole name.
    pub(super) fn image(&self, name: &str) -> Result<String, PlanError> {
        image_of(self.context.intent.kubernetes_images, name, &self.kubernetes())
    }

    /// The version of Kubernetes.
    pub(super) fn kubernetes(&self) -> String {
        self.context.intent.cluster.spec().kubernetes.version.to_string()
    }
}

/// The node that `task` is about, where it may fail because of what the node has become.
pub(crate) fn changed_by(task: &Task) -> Option<&str> {
    const ON_THE_NODE: [&str; 4] = [KUBEADM, KUBELET, CHANGE, LOOK];
    let (_, name) = task.id.rsplit_once('/')?;
    name.strip_prefix("ready-").or_else(|| ON_THE_NODE.contains(&name).then_some(task.host.as_str()))
}

/// The look whether the service that was started anew last stays.
pub(crate) fn keeps_running(service: &str) -> Step {
    let unit = format!("{service}.service");
    Step::new(format!("{service}/runs"), KeepsRunning { unit, seconds: KEEPS_RUNNING_SECONDS })
}

/// The look from a node at the cluster's services, through a `kube_proxy` of this image.
pub(crate) fn services(ranges: Ipv4Net, dns_domain: &str, kube_proxy: String) -> Result<Step, PlanError> {
    // As kubeadm gives them: the first address is the API server's, and the tenth the DNS's.
    let nth = |n: usize| {
        let problem = format!("{ranges} has no {n} addresses");
        ranges.hosts().nth(n - 1).ok_or_else(|| SpecError::new("spec.network.services", problem))
    };
    let name = format!("kubernetes.default.svc.{dns_domain}");
    Ok(Step::new("services", ServicesAnswer { kube_proxy, api: nth(1)?, dns: nth(10)?, name }))
}

/// The image of what kubeadm calls an add-on, `kube-proxy` or `coredns`, by its whole name, among those of `version`.
pub(crate) fn image_of(images: &[String], name: &str, version: &str) -> Result<String, PlanError> {
    let part = format!("/{name}:");
    let found = images.iter().find(|image| image.contains(&part));
    found.cloned().ok_or_else(|| PlanError::NoImage { name: name.to_owned(), version: version.to_owned() })
}

/// Whether `task` makes its host another node, or starts anew what runs there.
pub(crate) fn changes_node(task: &Task) -> bool {
    let name = task.id.rsplit_once('/').map(|(_, name)| name);
    name.is_some_and(|name| [KUBEADM, KUBELET, CHANGE, os_packages::CHANGE, os_packages::RESTART].contains(&name))
}

pub(super) fn id(host: &str, name: &str) -> String {
    format!("{host}/{name}")
}

pub(super) fn task(host: &str, name: &str, after: Vec<String>, steps: Vec<Step>) -> Task {
    Task { id: id(host, name), host: host.to_owned(), after, secrets: Vec::new(), steps }
}
