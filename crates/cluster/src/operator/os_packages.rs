//! Brings OS packages of the release to the nodes of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use sealock_bundle::os_packages::{self, MAX_INDEX, OsPackages};
use sealock_node::os_packages::{OsLook, OsLookRequest, OsSetIndex, PackageChange};
use sealock_node::step::RestartWhen;
use serde::Serialize;

use super::upgrade::returns;
use super::{Difference, Operator, OperatorError, Planned};
use crate::execute::{self, Connection, ExecuteError};
use crate::inventory::Inventory;
use crate::plan::{self, Draining, HostPackages, Plan, PlanError, Purpose};
use crate::spec::Cluster;
use crate::tools;

/// How OS packages are brought.
#[derive(Clone, Debug)]
pub struct Patching {
    /// How nodes are emptied.
    pub draining: Draining,
    /// The nodes; all where it is empty.
    pub nodes: BTreeSet<String>,
    /// When machines are started anew; nothing where they are not.
    pub restart: Option<RestartWhen>,
    /// Whether packages may go that are in the way of others.
    pub allow_removals: bool,
    /// Packages that are to be there besides what is installed.
    pub install: Vec<String>,
}

/// What brings OS packages to nodes.
#[derive(Debug)]
pub struct Patches {
    /// What is to change, by host.
    pub waiting: Vec<Waiting>,
    /// What is newer in the release and stays where it is, by host: on hold, or others would have to go for it.
    pub kept_back: BTreeMap<String, Vec<String>>,
    /// Hosts for whose system the release has no OS packages.
    pub without: Vec<Without>,
    /// The plan, or the one that was begun and not finished; nothing where all is as the release has it.
    pub next: Option<Planned>,
}

/// What waits for a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The host.
    pub host: String,
    /// What changes.
    pub changes: Vec<PackageChange>,
    /// Why its machine is to be started anew as it is, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
}

/// A host that the release has no OS packages for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Without {
    /// The host.
    pub host: String,
    /// Its system and architecture, like `rocky-9 (amd64)`.
    pub system: String,
}

/// What a host is asked about the sets that are for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Question<'a> {
    pub(super) allow_removals: bool,
    /// Packages that are to be there besides what is installed.
    pub(super) install: &'a [String],
    /// Whether a plan of ours may have been cut off there in the middle of dpkg.
    pub(super) begun: bool,
    /// Whether these alone are to come.
    pub(super) only: bool,
}

type Hosts = BTreeMap<String, HostPackages>;

impl Operator<'_> {
    /// What brings the OS packages of the release to nodes of `cluster`. No host is changed.
    ///
    /// # Errors
    /// The spec differs from what was applied; a host is no node; the release has no OS packages for any of the nodes; something else was
    /// begun; etcd is not well; pods would be lost by emptying a node.
    pub async fn plan_os_packages(&self, cluster: &Cluster, mut how: Patching) -> Result<Patches, OperatorError> {
        let open = self.open_patching(cluster, &how)?;
        let (connections, inventory) = self.look_patiently(cluster, open.as_ref()).await?;
        plan::check_nodes(cluster, &inventory)?;
        let wanted = wanted(cluster, open.as_ref(), &how);
        let (mut hosts, without) = self.found(&inventory, &connections, (&wanted, &how, open.as_ref())).await?;
        let kept_back = kept_back(&hosts);
        hosts.retain(|host, packages| {
            let is_begun = open.as_ref().is_some_and(|open| is_changed_by(open, host));
            cluster.host(host).is_some() && (is_begun || packages.has_work(how.restart))
        });
        let waiting = waiting(&hosts);
        if open.is_none() && hosts.is_empty() {
            return Ok(Patches { waiting, kept_back, without, next: None });
        }
        let images = tools::kubernetes_images(&self.toolbox(), cluster)?;
        let (ground, speaker) = (self.ground(images)?, open.as_ref().map_or("", |open| &open.speaker));
        let intent = ground.intent(cluster, speaker);
        if let Some(open) = &open {
            let all = plan::plan_os_packages(&intent, &how.draining, (&hosts, how.restart), &inventory)?;
            let (left, away) = self.not_patched(cluster, (&all, open), &connections).await?;
            hosts.retain(|host, _| left.contains(host));
            how.draining.away = away;
        }
        let names = hosts.keys().cloned().collect();
        how.draining.cordoned = self.check_drains(cluster, &names, &how.draining, open.as_ref()).await?;
        let fresh = plan::plan_os_packages(&intent, &how.draining, (&hosts, how.restart), &inventory)?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        if open.is_none() {
            self.check_etcd_for_patching(&plan, cluster, &connections).await?;
        }
        let planned = self.assess(plan, inventory, resumed, connections).await?;
        Ok(Patches { waiting, kept_back, without, next: Some(planned) })
    }

    /// What waits on hosts of a plan that was made just now, for whoever asks what differs.
    pub(super) async fn os_packages_waiting(&self, planned: &Planned) -> Vec<Difference> {
        let sets = match os_packages::in_release(self.store, &self.release.release) {
            Ok(sets) if sets.is_empty() => return Vec::new(),
            Ok(sets) => sets,
            Err(error) => return vec![differs(&planned.plan.speaker, format!("cannot tell: {error}"))],
        };
        let looks = planned.connections.iter().map(async |connection| {
            let observed = planned.inventory.hosts.get(connection.host()).filter(|one| one.is_complete())?;
            let sets = plan::sets_of(&sets, observed);
            if sets.is_empty() {
                return None;
            }
            let found = match self.ask_of_sets(connection, &sets, &Question::default()).await {
                Ok(look) => told(&look)?,
                Err(error) => format!("cannot tell: {error}"),
            };
            Some(differs(connection.host(), found))
        });
        execute::of_each(looks).await.into_iter().flatten().collect()
    }

    /// The plan that was begun and not finished, where it is one of these and goes on with these nodes.
    fn open_patching(&self, cluster: &Cluster, how: &Patching) -> Result<Option<Plan>, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        self.check_no_member()?;
        self.check_no_adoption()?;
        self.check_no_authorities(None)?;
        let open = self.open_waves()?;
        if let Some(other) = open.as_ref().filter(|open| open.purpose != Purpose::OsPackages) {
            return Err(super::upgrade::still_open(other).into());
        }
        if let Some(host) = how.nodes.iter().find(|name| cluster.host(name).is_none()) {
            return Err(PlanError::NoSuchHost { host: host.clone() }.into());
        }
        let (runs, wanted) = (self.check_only_version_differs(cluster)?, cluster.spec().kubernetes.version);
        if runs != wanted {
            return Err(PlanError::OsPackagesAlone { runs: runs.to_string(), wanted: wanted.to_string() }.into());
        }
        Ok(open)
    }

    /// While a plan is open by which machines are started anew, one that does not answer may be just coming up.
    async fn look_patiently(
        &self,
        cluster: &Cluster,
        open: Option<&Plan>,
    ) -> Result<(Vec<Arc<Connection>>, Inventory), OperatorError> {
        if open.is_none() {
            return self.look(cluster).await;
        }
        let connections = execute::connect_patiently(cluster.hosts(), &self.ssh).await?;
        let inventory = execute::observe(&connections, &self.binary).await?;
        Ok((connections, inventory))
    }

    /// What the hosts of `wanted` say of the sets that are for them.
    async fn found(
        &self,
        inventory: &Inventory,
        connections: &[Arc<Connection>],
        (wanted, how, open): (&BTreeSet<String>, &Patching, Option<&Plan>),
    ) -> Result<(Hosts, Vec<Without>), OperatorError> {
        let sets = os_packages::in_release(self.store, &self.release.release)?;
        let (mut hosts, mut without, mut asked) = (Hosts::new(), Vec::new(), Vec::new());
        for connection in connections.iter().filter(|one| wanted.contains(one.host())) {
            let host = connection.host().to_owned();
            let observed = inventory.hosts.get(&host).ok_or_else(|| PlanError::NotObserved { host: host.clone() })?;
            let (facts, fitting) = (&observed.facts, plan::sets_of(&sets, observed));
            if fitting.is_empty() {
                let system = format!("{} ({})", plan::system_of(facts), facts.architecture);
                if open.is_some_and(|open| is_changed_by(open, &host)) {
                    // Nothing comes any more, but it may be away still.
                    hosts.insert(host.clone(), HostPackages::default());
                }
                without.push(Without { host, system });
            } else {
                asked.push((connection, fitting));
            }
        }
        if asked.is_empty() && hosts.is_empty() {
            let systems = without.iter().map(|one| one.system.clone()).collect();
            let release = self.release.release.number;
            return Err(PlanError::NoOsPackages { release, systems }.into());
        }
        let looks = asked.iter().map(async |(connection, sets)| {
            let host = connection.host().to_owned();
            let packages = self.of_host(connection, sets, (how, open)).await?;
            Ok::<_, OperatorError>((host, packages))
        });
        hosts.extend(execute::of_all(looks).await?);
        Ok((hosts, without))
    }

    /// What a host says of the sets that are for it. Where a plan was begun there, dpkg may have been cut off under it: then that plan is gone
    /// on with, or, where the release has other packages by now, apt says what mends it.
    async fn of_host(
        &self,
        connection: &Connection,
        sets: &[&OsPackages],
        (how, open): (&Patching, Option<&Plan>),
    ) -> Result<HostPackages, OperatorError> {
        let host = connection.host();
        let begun = open.filter(|open| is_changed_by(open, host));
        let planned = begun.and_then(|open| HostPackages::in_plan(open).remove(host));
        let is_same = begun.is_some_and(|open| open.release.digest == self.release.digest);
        let is_other = begun.is_some() && !is_same;
        let Patching { allow_removals, install, .. } = how;
        let question = Question { allow_removals: *allow_removals, install, begun: is_other, only: false };
        let look = self.ask_of_sets(connection, sets, &question).await?;
        let interrupted = look.interrupted;
        let found = HostPackages::of(host, look, sets)?;
        match planned {
            None if interrupted => Err(PlanError::DpkgInterrupted { host: host.to_owned() }.into()),
            None => Ok(found),
            Some(planned) if interrupted && is_same => Ok(HostPackages { interrupted, ..planned }),
            // What differs by now may have become so under that plan.
            Some(planned) => Ok(HostPackages { differed: planned.differed, ..found }),
        }
    }

    pub(super) async fn ask_of_sets(
        &self,
        connection: &Connection,
        sets: &[&OsPackages],
        question: &Question<'_>,
    ) -> Result<OsLook, OperatorError> {
        let mut indices = Vec::new();
        for set in sets {
            let name = set.facts.name.to_string();
            indices.push(OsSetIndex { index: self.index_of(&name, set)?, name });
        }
        let Question { allow_removals, install, begun, only } = *question;
        let request = OsLookRequest { sets: indices, allow_removals, begun, install: install.to_vec(), only };
        match execute::look_at_os_packages(connection, &self.binary, &request).await {
            Err(ExecuteError::Command { host, said, .. }) => Err(PlanError::AptRefuses { host, said }.into()),
            outcome => Ok(outcome?),
        }
    }

    fn index_of(&self, name: &str, set: &OsPackages) -> Result<String, OperatorError> {
        let lost = || PlanError::IndexLost { set: name.to_owned(), digest: set.index.digest.clone() };
        let blob = self.store.open_blob(&set.index.digest).map_err(os_packages::OsPackagesError::from)?;
        let mut bytes = Vec::new();
        let failed = |source| OperatorError::Io { action: "read the index of", path: name.into(), source };
        blob.ok_or_else(lost)?.take(MAX_INDEX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if sealock_trust::Digest::of(set.index.digest.algorithm(), &bytes) != set.index.digest {
            return Err(lost().into());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Hosts of `all` that are not what it makes of them, or were not given back since `open` emptied them; and which of them are away.
    async fn not_patched(
        &self,
        cluster: &Cluster,
        (all, open): (&Plan, &Plan),
        connections: &[Arc<Connection>],
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), OperatorError> {
        let changes = Plan { tasks: plan::patches(all).cloned().collect(), ..all.clone() };
        let assessment = execute::assess(connections, &self.kit()?, &changes).await?;
        let mut away = self.away(cluster, open).await;
        away.retain(|host| changes.tasks.iter().any(|task| task.host == *host) && returns(open, host));
        let undone = changes.tasks.iter().filter(|task| !assessment.is_done(task));
        let left = undone.map(|task| task.host.clone()).chain(away.iter().cloned()).collect();
        Ok((left, away))
    }

    /// Every member of etcd is well where a control plane may go away.
    async fn check_etcd_for_patching(
        &self,
        plan: &Plan,
        cluster: &Cluster,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        let is_plane = |host: &str| cluster.host(host).is_some_and(crate::spec::Host::is_control_plane);
        if plan::patches(plan).any(|task| is_plane(&task.host)) {
            return match cluster.external_etcd() {
                Some(_) => self.check_all_well(cluster, plan, connections).await,
                None => self.check_etcd_for_upgrade(cluster, plan, connections).await,
            };
        }
        Ok(())
    }
}

/// The hosts that are asked: those that are named, and those that a plan was begun with.
fn wanted(cluster: &Cluster, open: Option<&Plan>, how: &Patching) -> BTreeSet<String> {
    let all = cluster.hosts().iter().map(|host| host.name.to_string());
    let named = all.filter(|name| how.nodes.is_empty() || how.nodes.contains(name));
    named.chain(open.into_iter().flat_map(plan::patches).map(|task| task.host.clone())).collect()
}

fn is_changed_by(open: &Plan, host: &str) -> bool {
    plan::patches(open).any(|task| task.host == host)
}

fn kept_back(hosts: &Hosts) -> BTreeMap<String, Vec<String>> {
    let of_host = |(host, packages): (&String, &HostPackages)| {
        (!packages.kept_back.is_empty()).then(|| (host.clone(), packages.kept_back.clone()))
    };
    hosts.iter().filter_map(of_host).collect()
}

fn waiting(hosts: &Hosts) -> Vec<Waiting> {
    let of_host = |(host, packages): (&String, &HostPackages)| Waiting {
        host: host.clone(),
        changes: packages.changes.clone(),
        restart: packages.restart.clone(),
    };
    hosts.iter().map(of_host).collect()
}

/// What waits on a host, in words; nothing where nothing does.
fn told(look: &OsLook) -> Option<String> {
    let brings = "`cluster patch-os` brings them";
    let packages = match look.changes.len() {
        0 => None,
        1 => Some(format!("1 OS package waits: {brings}")),
        count => Some(format!("{count} OS packages wait: {brings}")),
    };
    let interrupted = look.interrupted.then(|| "a dpkg was cut off, and packages are half done".to_owned());
    let restart = look.restart.as_ref().map(|because| format!("the machine is to be restarted: {because}"));
    let busy = look.busy.then(|| "somebody's dpkg runs, and nothing can be told".to_owned());
    let told: Vec<String> = [packages, busy, interrupted, restart].into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn differs(host: &str, found: String) -> Difference {
    Difference { host: host.to_owned(), step: Some("os-packages".to_owned()), found, is_repairable: false }
}
