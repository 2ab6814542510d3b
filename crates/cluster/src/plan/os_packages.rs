//! The plan that brings OS packages of the release to nodes, and starts machines anew that want it. Kubernetes and all that Sealock brings
//! stay what they are.
//!
//! Packages lie on every host before anything changes. Then the control planes, one after the other, each behind a look at etcd, and then the
//! workers: each is emptied, changed, started anew where it wants that, looked at, and given back.

use std::collections::{BTreeMap, BTreeSet};

use sealock_bundle::os_packages::OsPackages;
use sealock_node::os_packages::{OsLook, PackageChange};
use sealock_node::step::{
    Artifact, EtcdWell, MachineRestarted, OsPackageFile, OsPackageSet, OsPackagesInstalled, OsPackagesLaidDown,
    RestartWhen, StandsAsBefore,
};
use sealock_node::{Step, StepKind};

use super::versions::check_versions;
use super::waves::{Becoming, Draining, ETCD_SECONDS, READY_SECONDS, Waves, id, task};
use super::{Intent, Phase, Plan, PlanError, Purpose, Task};
use crate::inventory::Inventory;
use crate::spec::{Cluster, Host};

/// How long a machine may take to come up again: firmware of servers takes minutes.
const RESTART_SECONDS: u32 = 1800;

pub(super) const CHANGE: &str = "os-packages";
pub(super) const RESTART: &str = "restart";
const STANDS: &str = "stands";

/// What is to become of the OS packages of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPackages {
    /// The files that come, by set.
    pub sets: Vec<OsPackageSet>,
    /// What changes.
    pub changes: Vec<PackageChange>,
    /// Why the machine is to be started anew as it is, where it is.
    pub restart: Option<String>,
    /// Where something is not what Sealock left, in words: that is no matter of the packages.
    pub differed: BTreeSet<String>,
    /// Whether dpkg was cut off there, by a plan of ours: then it is to be finished, whatever changes.
    pub interrupted: bool,
    /// What is newer in the release and does not come: on hold, or others would have to go for it.
    pub kept_back: Vec<String>,
}

impl HostPackages {
    /// What a host said of the sets that are for it.
    ///
    /// # Errors
    /// [`PlanError::DpkgRuns`]; [`PlanError::NoSuchPackage`], where apt names what is in none of the sets.
    pub fn of(host: &str, look: OsLook, sets: &[&OsPackages]) -> Result<Self, PlanError> {
        if look.busy {
            return Err(PlanError::DpkgRuns { host: host.to_owned() });
        }
        let mut wanted: BTreeMap<usize, Vec<OsPackageFile>> = BTreeMap::new();
        for change in look.changes.iter().filter(|change| change.to.is_some()) {
            let (set, file) = file_of(sets, change)
                .ok_or_else(|| PlanError::NoSuchPackage { host: host.to_owned(), package: change.to_string() })?;
            wanted.entry(set).or_default().push(file);
        }
        // A set that nothing comes from has its say, too.
        let sets = sets.iter().enumerate().map(|(n, set)| set_of(set, wanted.remove(&n).unwrap_or_default()));
        Ok(Self {
            sets: if look.changes.is_empty() { Vec::new() } else { sets.collect() },
            changes: look.changes,
            restart: look.restart,
            differed: look.differences.into_iter().collect(),
            interrupted: look.interrupted,
            kept_back: look.kept_back,
        })
    }

    /// What `plan` makes of each of its hosts.
    pub fn in_plan(plan: &Plan) -> BTreeMap<String, Self> {
        let mut hosts: BTreeMap<String, Self> = BTreeMap::new();
        for task in plan.tasks.iter().filter(|task| Phase::Stage.has(task) || is_patch(task)) {
            let host = hosts.entry(task.host.clone()).or_default();
            for step in &task.steps {
                match &step.action {
                    StepKind::OsPackagesLaidDown(step) => host.sets.clone_from(&step.sets),
                    StepKind::OsPackagesInstalled(step) => host.changes.clone_from(&step.changes),
                    StepKind::StandsAsBefore(step) => host.differed.clone_from(&step.differed),
                    _ => {}
                }
            }
        }
        hosts
    }

    /// Whether anything is to be done where machines are started anew or not.
    pub fn has_work(&self, restart: Option<RestartWhen>) -> bool {
        !self.changes.is_empty() || self.interrupted || (self.restart.is_some() && restart.is_some())
    }
}

/// The sets of a release that are for a host: those that are called after its distribution and version, like `debian-12` and
/// `debian-12-security`, in its architecture. Names of sets have no dots: `ubuntu-24-04`.
pub fn sets_of<'a>(sets: &'a [OsPackages], observed: &crate::inventory::Observation) -> Vec<&'a OsPackages> {
    let facts = &observed.facts;
    let system = system_of(facts);
    let is_for = |name: &str| name.strip_prefix(&system).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let platform = format!("linux/{}", facts.architecture).parse().ok();
    let architecture = platform.as_ref().and_then(sealock_bundle::os_packages::architecture);
    let fits =
        |set: &&OsPackages| is_for(set.facts.name.as_ref()) && Some(set.facts.architecture.as_str()) == architecture;
    sets.iter().filter(fits).collect()
}

/// What sets for a host are called: like `debian-12`, or `ubuntu-24-04`.
pub fn system_of(facts: &sealock_node::HostFacts) -> String {
    format!("{}-{}", facts.os.id, facts.os.version).replace('.', "-")
}

/// The plan that makes of `hosts` what each is to become.
///
/// # Errors
/// A host that is another's, or no node; another version of Kubernetes than the spec says; conditions that are not met.
pub fn plan_os_packages(
    intent: &Intent<'_>,
    draining: &Draining,
    (hosts, restart): (&BTreeMap<String, HostPackages>, Option<RestartWhen>),
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    super::check_nodes(intent.cluster, inventory)?;
    check_versions(intent.cluster, inventory)?;
    let waves = Waves::new(intent, draining, Becoming::Patched, inventory)?;
    let tasks = Patching { waves: &waves, hosts, restart }.tasks()?;
    waves.context.plan(Purpose::OsPackages, tasks)
}

/// The tasks that tell on a host whether a plan is through with it.
pub(crate) fn patches(plan: &Plan) -> impl Iterator<Item = &Task> {
    plan.tasks.iter().filter(|task| is_patch(task))
}

fn is_patch(task: &Task) -> bool {
    [CHANGE, RESTART, STANDS].iter().any(|name| task.id == id(&task.host, name))
}

struct Patching<'a> {
    waves: &'a Waves<'a>,
    hosts: &'a BTreeMap<String, HostPackages>,
    restart: Option<RestartWhen>,
}

impl<'a> Patching<'a> {
    fn tasks(&self) -> Result<Vec<Task>, PlanError> {
        let cluster: &'a Cluster = self.waves.context.intent.cluster;
        let is_wanted = |host: &&Host| self.hosts.contains_key(host.name.as_str());
        let laid: Vec<(&Host, &HostPackages)> = cluster
            .hosts()
            .iter()
            .filter_map(|host| Some((host, self.hosts.get(host.name.as_str())?)))
            .filter(|(_, packages)| !packages.sets.is_empty())
            .collect();
        let mut tasks: Vec<Task> = laid
            .into_iter()
            .map(|(host, packages)| {
                let laid = OsPackagesLaidDown { sets: packages.sets.clone() };
                task(
                    host.name.as_str(),
                    Phase::Stage.as_str(),
                    Vec::new(),
                    vec![Step::new("os-packages/laid-down", laid)],
                )
            })
            .collect();
        let mut before: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
        let planes = self.waves.away_first(self.waves.control_planes().into_iter().filter(is_wanted));
        if !planes.is_empty() {
            let name = format!("os-packages-of-release-{}", self.waves.context.release.number());
            let snapshot = self.waves.snapshot(name, None, before);
            before = vec![snapshot.id.clone()];
            tasks.push(snapshot);
        }
        // Who is away is ended with before another one is begun.
        let (away, here): (Vec<&Host>, Vec<&Host>) =
            cluster.workers().filter(is_wanted).partition(|host| self.waves.is_away(host));
        for host in away.into_iter().chain(planes) {
            tasks.extend(self.round(host, before)?);
            before = vec![self.waves.last_of(host)];
        }
        let workers = here;
        tasks.extend(self.waves.workers(&workers, &before, |host, after| self.round(host, after))?);
        Ok(tasks)
    }

    fn round(&self, host: &Host, mut after: Vec<String>) -> Result<Vec<Task>, PlanError> {
        let (name, speaker) = (host.name.as_str(), self.waves.speaker());
        let packages = self.hosts.get(name).cloned().unwrap_or_default();
        let mut tasks = Vec::new();
        // An etcd that is elsewhere loses no member by it.
        let has_member = host.is_control_plane() && self.waves.context.intent.cluster.external_etcd().is_none();
        // A host that is to be mended may be the one that is asked; the others are, right before anything is changed on it.
        let is_asked = self.waves.is_away(host) && name == speaker;
        if has_member && !is_asked {
            let well = self.etcd_well(self.waves.is_away(host).then_some(host));
            let quorum = task(speaker, &format!("quorum-{name}"), after, vec![well]);
            after = vec![quorum.id.clone()];
            tasks.push(quorum);
        }
        let mut before = self.waves.empty(host, after, &mut tasks);
        for (part, step) in self.changes(&packages) {
            let one = task(name, part, before, vec![step]);
            before = vec![one.id.clone()];
            tasks.push(one);
        }
        let mut ready = vec![self.waves.ready(host)?];
        ready.extend(has_member.then(|| self.etcd_well(None)));
        let ready = task(speaker, &format!("ready-{name}"), before, ready);
        let look = task(name, "services", vec![ready.id.clone()], vec![self.waves.services()?]);
        let uncordon = self.waves.uncordon(host).into_iter().collect();
        let back = task(speaker, &format!("return-{name}"), vec![look.id.clone()], uncordon);
        tasks.extend([ready, look, back]);
        Ok(tasks)
    }

    /// What changes on the host itself, a task each: the machine may go in between.
    fn changes(&self, packages: &HostPackages) -> Vec<(&'static str, Step)> {
        let laid = OsPackagesLaidDown { sets: packages.sets.clone() };
        let is_to_change = packages.interrupted || !packages.changes.is_empty();
        let installed = is_to_change.then(|| OsPackagesInstalled {
            sets: packages.sets.iter().map(|set| set.name.clone()).collect(),
            contents: laid.contents(),
            changes: packages.changes.clone(),
        });
        let restarted = self.restart.map(|when| MachineRestarted { when, timeout_seconds: RESTART_SECONDS });
        let stands = StandsAsBefore { differed: packages.differed.clone(), timeout_seconds: READY_SECONDS };
        let installed = installed.map(|step| (CHANGE, Step::new("os-packages/installed", step)));
        let restarted = restarted.map(|step| (RESTART, Step::new("restarted", step)));
        let stands = (STANDS, Step::new("stands", stands));
        installed.into_iter().chain(restarted).chain([stands]).collect()
    }

    /// Where `but` is away already, its own member may be what has to be mended.
    fn etcd_well(&self, but: Option<&Host>) -> Step {
        let intent = self.waves.context.intent;
        let members = u32::try_from(intent.cluster.control_planes().count()).unwrap_or(u32::MAX);
        let (program, but) = (intent.program.to_owned(), but.map(|host| host.name.to_string()));
        Step::new("etcd/well", EtcdWell { program, members, but, timeout_seconds: ETCD_SECONDS })
    }
}

fn file_of(sets: &[&OsPackages], change: &PackageChange) -> Option<(usize, OsPackageFile)> {
    let to = change.to.as_deref()?;
    sets.iter().enumerate().find_map(|(n, set)| {
        let mut packages = set.packages.iter();
        let found = packages.find(|one| {
            one.name == change.package && one.version.to_string() == to && one.architecture == change.architecture
        })?;
        Some((n, OsPackageFile { name: found.file.name.clone(), digest: found.file.digest.clone() }))
    })
}

fn set_of(set: &OsPackages, mut files: Vec<OsPackageFile>) -> OsPackageSet {
    files.push(OsPackageFile { name: set.index.name.clone(), digest: set.index.digest.clone() });
    files.sort();
    let artifact = Artifact { repository: set.repository.clone(), digest: set.manifest.clone() };
    OsPackageSet { name: set.facts.name.to_string(), artifact, files }
}
