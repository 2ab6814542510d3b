//! What an operator does with a cluster, from start to end: plan, apply, reset, status, kubeconfig.
//!
//! Everything of one cluster lies in one folder at the station: `plans/<digest>.json`, `journal/<digest>`, `bin/`,
//! `applied.json` (the plan that was carried out last), `blocked.json` (what of its release was blocked then) and `kubeconfig`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::Ipv4Net;
use sealock_node::facts::Kubernetes;
use sealock_node::request::{Registry, Secrets};
use sealock_store::{Published, Store};
use sealock_trust::Digest;
use sealock_trust::json::jcs;
use sealock_trust::site::SiteRoot;

mod addition;
mod adoption;
mod authorities;
mod backup;
mod components;
mod drift;
mod endpoint;
mod error;
mod external;
mod files;
mod ground;
mod health;
mod kept_images;
pub mod kubeconfig;
mod making;
mod member;
mod members;
mod needs;
mod os_packages;
mod reach;
mod removal;
mod renewal;
mod requests;
mod rollback;
mod status;
mod supplied;
mod upgrade;

pub use adoption::{Adoption, look_at_running};
pub use authorities::Readers;
pub use backup::{BackedUp, BackupOrder};
pub use components::Components;
pub use drift::Difference;
pub use error::OperatorError;
pub use os_packages::{Patches, Patching, Waiting, Without};
pub use removal::{Left, Removal};
pub use requests::{PassedOver, Requested};
pub use rollback::Rollback;
pub use status::{HostStatus, MemberStatus, NodeStatus, Status};
pub use upgrade::Upgrade;

use crate::execute::{self, Binary, Connection, Execution, Kit, Progress, SshSettings};
use crate::inventory::{Inventory, Observation};
use crate::journal::{self, Journal};
use crate::machine::registry_of;
use crate::plan::{self, Assessment, Behind, Phase, Plan, PlanError, Purpose};
use crate::release::ReleaseView;
use crate::revoked::{Needed, Revoked};
use crate::spec::Cluster;
use crate::tools::Toolbox;

/// What the station brings to every command on a cluster.
#[derive(Clone, Debug)]
pub struct Operator<'a> {
    /// The site's blobs.
    pub store: &'a Store,
    /// What the site serves.
    pub release: &'a Published,
    /// What of it is revoked.
    pub revoked: Revoked,
    /// The newest generation of the site's trust state, signed by the site, where it is known: hosts keep it.
    pub trust_mirror: Option<&'a [u8]>,
    /// Who the site is.
    pub site: &'a SiteRoot,
    /// The binary that hosts get: this one.
    pub binary: Binary,
    /// How hosts are reached.
    pub ssh: SshSettings,
    /// The cluster's folder at the station.
    pub folder: PathBuf,
}

/// A plan, with all that was found on the way to it.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What the hosts say about themselves.
    pub inventory: Inventory,
    /// What the hosts say about the plan's steps.
    pub assessment: Assessment,
    /// Whether it is an earlier plan that was begun and not finished.
    pub resumed: bool,
    /// Components of nodes that stay as they are, though the release has others.
    pub behind: Vec<Behind>,
    /// What it needs and the cluster uses already, although it was revoked: the site has to confirm that.
    pub alarms: Vec<Needed>,
    /// Hosts of the spec that it does nothing on, and what to do about each.
    pub passed_over: Vec<PassedOver>,
    /// What to know of certificates that it lays down.
    pub remarks: Vec<String>,
    connections: Vec<Arc<Connection>>,
    /// What hosts get of the station's own secrets.
    held: Arc<Secrets>,
}

impl Planned {
    /// Whether there is nothing to do.
    pub fn is_done(&self) -> bool {
        self.assessment.all_done(&self.plan)
    }

    /// Hosts with a Kubernetes that is claimed for nobody: of a cluster that was not taken over to the end, or given back already.
    pub fn unclaimed(&self) -> Vec<&str> {
        let foreign = |observation: &Observation| matches!(observation.facts.kubernetes, Kubernetes::Foreign { .. });
        let hosts = self.inventory.hosts.iter().filter(|(_, observation)| foreign(observation));
        hosts.map(|(host, _)| host.as_str()).collect()
    }
}

/// What carrying out a plan came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Steps that changed something.
    pub changed: usize,
    /// Where the administrator's kubeconfig is, once there is a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// Servers that were to be looked at from here and cannot be reached.
    pub unreached: Vec<String>,
}

impl Applied {
    fn changed(changed: usize, kubeconfig: Option<PathBuf>) -> Self {
        Self { changed, kubeconfig, unreached: Vec::new() }
    }
}

/// Hosts, and what they say about themselves.
type Looked = (Vec<Arc<Connection>>, Inventory);

impl Operator<'_> {
    /// The plan that gives the hosts of `cluster` back.
    ///
    /// # Errors
    /// A host is another's, or cannot be asked.
    pub async fn plan_reset(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        let (connections, inventory) = self.look(cluster).await?;
        let begun = self.begun_or_given_back()?;
        let plan = plan::plan_reset(cluster, self.release, &self.registry(), &inventory, begun.as_ref())?;
        self.assess(plan, inventory, false, connections).await
    }

    /// The part of `planned` that can be carried out before the hour that the rest is for. A node that runs is not prepared: a changed
    /// setting would start anew what runs on it.
    ///
    /// # Errors
    /// [`PlanError::WholeBegun`] where more than such a part was begun and is not finished.
    pub fn only(&self, phase: Phase, planned: Planned) -> Result<Planned, OperatorError> {
        let is_whole = |open: &Plan| open.purpose == Purpose::Apply || open.purpose.stays_open();
        if self.open_plans()?.iter().any(is_whole) {
            return Err(PlanError::WholeBegun.into());
        }
        let runs = |host: &str| planned.inventory.hosts.get(host).is_some_and(Observation::is_complete);
        let plan = planned.plan.only(phase, |host| phase == Phase::Stage || !runs(host));
        Ok(Planned { plan, resumed: false, ..planned })
    }

    /// The adoption or the reset that is not finished; or the reset that was, where nothing was taken over since: a host that was taken over has
    /// a Kubernetes of others once it is given back, and before it is claimed.
    fn begun_or_given_back(&self) -> Result<Option<Plan>, OperatorError> {
        let is_either = |plan: &Plan| matches!(plan.purpose, Purpose::Adopt | Purpose::Reset);
        if let Some(open) = self.open_plans()?.into_iter().find(is_either) {
            return Ok(Some(open));
        }
        Ok(self.newest_plan(is_either)?.filter(|plan| plan.purpose == Purpose::Reset))
    }

    /// Takes a plan that was reviewed before, instead of the one that would be made now.
    ///
    /// # Errors
    /// [`PlanError::Stale`] where spec, release or hosts have changed since.
    pub fn insist(&self, now: &Planned, reviewed: &Plan) -> Result<(), PlanError> {
        if now.resumed && now.plan == *reviewed {
            return Ok(());
        }
        let changed = |what: &str, before: &dyn std::fmt::Display, after: &dyn std::fmt::Display| PlanError::Stale {
            host: reviewed.cluster.clone(),
            changes: vec![format!("the {what} was {before} and is {after}")],
        };
        if reviewed.spec != now.plan.spec {
            return Err(changed("cluster spec", &reviewed.spec, &now.plan.spec));
        }
        if reviewed.release != now.plan.release {
            return Err(changed("release", &reviewed.release.number, &now.plan.release.number));
        }
        reviewed.check_fresh(&now.inventory)?;
        if *reviewed != now.plan {
            return Err(changed("plan", &short(reviewed), &short(&now.plan)));
        }
        Ok(())
    }

    /// Carries out what was planned. Where there is nothing to do, nothing is done.
    ///
    /// # Errors
    /// [`PlanError::Revoked`], where that came to be known since, before anything is done. The first step that failed:
    /// running the same again goes on from there.
    pub async fn apply(
        &self,
        planned: &Planned,
        progress: &(dyn Fn(&Progress<'_>) + Sync),
    ) -> Result<Applied, OperatorError> {
        let plan = &planned.plan;
        let digest = plan.digest().map_err(OperatorError::Unwritable)?;
        plan.check_revoked(&self.revoked, self.applied()?.as_ref())?;
        let kit = Kit { held: Arc::clone(&planned.held), ..self.kit()? };
        let journals = self.folder.join("journal");
        let (mut changed, mut begun) = (0, None);
        if planned.is_done() {
            self.supersede_all_but(plan)?;
            if journal::is_open(&journals, &digest)? {
                // The hosts went on to the end after the operator was cut off, or it was cut off behind that.
                begun = Some(Journal::open(&journals, &digest)?);
            }
        } else {
            // Whoever holds the journal alone takes the place of another plan, and is open before that one is open no longer: killed in
            // between, two are open, and the newer one counts.
            let journal = begun.insert(Journal::open(&journals, &digest)?);
            files::save_newest(&self.plan_path(&digest), &self.encode(plan)?)?;
            journal.begun(execute::generation(&planned.inventory))?;
            self.supersede_all_but(plan)?;
            let execution = Execution {
                plan,
                inventory: &planned.inventory,
                assessment: &planned.assessment,
                connections: &planned.connections,
                kit: &kit,
            };
            changed = execute::execute(execution, journal, progress).await?;
        }
        let applied = self.conclude(planned, changed).await?;
        // Last: a plan whose end is not written down here is open, and the same command brings it to its end.
        begun.map_or(Ok(()), |mut journal| journal.finished())?;
        Ok(applied)
    }

    /// What a plan that was carried out leaves behind at the station and on the hosts. It may be done again.
    async fn conclude(&self, planned: &Planned, changed: usize) -> Result<Applied, OperatorError> {
        let plan = &planned.plan;
        if matches!(plan.purpose, Purpose::Restore | Purpose::Apply) {
            self.forget_backups(planned).await?;
        }
        match plan.purpose {
            Purpose::Apply | Purpose::Adopt | Purpose::Upgrade | Purpose::Components | Purpose::Restore => {
                self.leave_mirror(&planned.connections).await?;
                // First, so that nothing that was blocked until now counts as used by a cluster that it is not.
                files::save(&self.folder.join("blocked.json"), &self.blocked()?)?;
                files::save(&self.folder.join("applied.json"), &self.encode(plan)?)?;
                let kubeconfig = self.fetch_kubeconfig(plan, &planned.connections).await?;
                Ok(Applied::changed(changed, Some(kubeconfig)))
            }
            Purpose::Prepare | Purpose::Requests => {
                self.leave_mirror(&planned.connections).await?;
                Ok(Applied::changed(changed, None))
            }
            Purpose::Renew | Purpose::Rescue => {
                let kubeconfig = self.fetch_kubeconfig(plan, &planned.connections).await?;
                Ok(Applied::changed(changed, Some(kubeconfig)))
            }
            Purpose::Authorities => {
                let kubeconfig = self.fetch_kubeconfig(plan, &planned.connections).await?;
                let unreached = self.see_authorities(plan, &planned.connections).await?;
                Ok(Applied { unreached, ..Applied::changed(changed, Some(kubeconfig)) })
            }
            Purpose::Neighbours => {
                self.keep_hosts_of(plan)?;
                let kubeconfig = self.fetch_kubeconfig(plan, &planned.connections).await?;
                Ok(Applied::changed(changed, Some(kubeconfig)))
            }
            // What the cluster is made of has not changed.
            Purpose::Rollback | Purpose::OsPackages | Purpose::Member => {
                self.leave_mirror(&planned.connections).await?;
                Ok(Applied::changed(changed, None))
            }
            Purpose::Remove => {
                self.take_back(&planned.connections).await?;
                Ok(Applied::changed(changed, None))
            }
            Purpose::Reset => {
                self.take_back(&planned.connections).await?;
                files::remove(&self.folder.join("applied.json"))?;
                files::remove(&self.folder.join("blocked.json"))?;
                files::remove(&self.kubeconfig_path())?;
                Ok(Applied::changed(changed, None))
            }
        }
    }

    /// Programs and charts of the release, for this station.
    pub fn toolbox(&self) -> Toolbox<'_> {
        Toolbox::new(self.store, ReleaseView::new(self.release), &self.revoked, self.folder.join("bin"))
    }

    /// Where the administrator's kubeconfig is once the cluster has been made.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The plan that was carried out last, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn applied(&self) -> Result<Option<Plan>, OperatorError> {
        let Some(bytes) = files::read(&self.folder.join("applied.json"))? else { return Ok(None) };
        Ok(Some(Plan::from_json(&bytes)?))
    }

    fn check_site(&self, cluster: &Cluster) -> Result<(), PlanError> {
        let (spec, here) = (&cluster.spec().site, self.site.id().to_string());
        if *spec == here { Ok(()) } else { Err(PlanError::OtherSite { spec: spec.clone(), here }) }
    }

    async fn look(&self, cluster: &Cluster) -> Result<Looked, OperatorError> {
        let connections = execute::connect(cluster.hosts(), &self.ssh).await?;
        let inventory = execute::observe(&connections, &self.binary).await?;
        Ok((connections, inventory))
    }

    async fn assess(
        &self,
        plan: Plan,
        inventory: Inventory,
        resumed: bool,
        connections: Vec<Arc<Connection>>,
    ) -> Result<Planned, OperatorError> {
        let alarms = plan.check_revoked(&self.revoked, self.applied()?.as_ref())?;
        let assessment = execute::assess(&connections, &self.kit()?, &plan).await?;
        let (behind, held, passed_over, remarks) = (Vec::new(), Arc::default(), Vec::new(), Vec::new());
        Ok(Planned { plan, inventory, assessment, resumed, behind, alarms, passed_over, remarks, connections, held })
    }

    fn registry(&self) -> Registry {
        registry_of(self.site)
    }

    fn kit(&self) -> Result<Kit, OperatorError> {
        let path = self.store.path().join("releases").join(format!("{}.json", self.release.release.number));
        let release = files::read(&path)?.unwrap_or_default();
        let (binary, site_root) = (self.binary.clone(), self.site.as_bytes().to_vec());
        Ok(Kit { binary, site_root, release, held: Arc::default() })
    }

    fn earlier_pod_ranges(&self) -> Result<BTreeMap<String, Ipv4Net>, OperatorError> {
        if let Some(plan) = self.applied()? {
            return Ok(plan.pod_ranges());
        }
        // A first apply that was cut off has promised ranges too.
        let open = self.open_plans()?;
        Ok(open.first().map(Plan::pod_ranges).unwrap_or_default())
    }

    /// Who speaks in the plan that was begun last and not finished; empty where there is none.
    fn earlier_speaker(&self) -> Result<String, OperatorError> {
        let open = self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Apply);
        Ok(open.map(|plan| plan.speaker).unwrap_or_default())
    }

    /// The plan that was begun and not finished, if it differs from `fresh` in nothing but what the hosts were like.
    fn unfinished(&self, fresh: &Plan) -> Result<Option<Plan>, OperatorError> {
        let same = |plan: &Plan| {
            let as_now = Plan { hosts: fresh.hosts.clone(), ..plan.clone() };
            as_now == *fresh
        };
        Ok(self.open_plans()?.into_iter().find(same))
    }

    /// Plans that were begun and that another one is now carried out in the place of are open no longer, but for those that stay so beside it.
    fn supersede_all_but(&self, plan: &Plan) -> Result<(), OperatorError> {
        for other in self.open_plans()?.iter().filter(|other| *other != plan && !other.stays_open_beside(plan)) {
            let digest = other.digest().map_err(OperatorError::Unwritable)?;
            files::set_aside(&self.plan_path(&digest))?;
        }
        Ok(())
    }

    fn plan_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("plans").join(format!("{}.json", digest.hex()))
    }

    fn open_plans(&self) -> Result<Vec<Plan>, OperatorError> {
        let journals = self.folder.join("journal");
        let mut open = Vec::new();
        for path in files::list(&self.folder.join("plans"))? {
            let Some(digest) = files::named_by(&path) else { continue };
            if journal::is_open(&journals, &digest)? {
                open.extend(files::plan_in(&path)?);
            }
        }
        Ok(open)
    }

    /// The newest plan that was begun here, whose place no other one has taken, and that fits: finished or not.
    fn newest_plan(&self, fits: impl Fn(&Plan) -> bool) -> Result<Option<Plan>, OperatorError> {
        for path in files::list(&self.folder.join("plans"))? {
            if let Some(plan) = files::plan_in(&path)?.filter(&fits) {
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }

    /// Leaves the generation of the trust state with every host and in the cluster's folder: an older copy of the trust state
    /// is found out by whatever was not restored with it.
    async fn leave_mirror(&self, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let Some(mirror) = self.trust_mirror else { return Ok(()) };
        let left = connections.iter().map(async |one| execute::leave_mirror(&*one.alive().await?, mirror).await);
        execute::of_all(left).await?;
        files::save(&self.folder.join("trust-mirror.json"), mirror)
    }

    /// What of the release is blocked, for whoever asks what the cluster uses: sorted digests of references.
    fn blocked(&self) -> Result<Vec<u8>, OperatorError> {
        jcs::to_vec(&self.revoked.blocked().collect::<Vec<_>>()).map_err(OperatorError::Unwritable)
    }

    fn encode(&self, plan: &Plan) -> Result<Vec<u8>, OperatorError> {
        plan.to_json().map_err(OperatorError::Unwritable)
    }

    async fn fetch_kubeconfig(&self, plan: &Plan, connections: &[Arc<Connection>]) -> Result<PathBuf, OperatorError> {
        let speaker = plan.speaker().map(|host| host.name.as_str()).unwrap_or_default();
        let missing = || OperatorError::NoCluster { folder: self.folder.clone() };
        let connection = connections.iter().find(|connection| connection.host() == speaker).ok_or_else(missing)?;
        let content = connection.alive().await?.read_root_file("/etc/kubernetes/admin.conf").await?;
        let content = kubeconfig::for_station(&String::from_utf8_lossy(&content), plan);
        files::save_private(&self.kubeconfig_path(), content.as_bytes())?;
        Ok(self.kubeconfig_path())
    }
}

fn short(plan: &Plan) -> String {
    plan.digest().map(|digest| digest.hex()[..12].to_owned()).unwrap_or_default()
}

/// The plan in the file `path`.
///
/// # Errors
/// It cannot be read, or is no plan.
pub fn read_plan(path: &Path) -> Result<Plan, OperatorError> {
    let bytes = fs::read(path).map_err(|source| OperatorError::Io { action: "read", path: path.into(), source })?;
    Ok(Plan::from_json(bytes.trim_ascii_end())?)
}

#[cfg(test)]
mod tests;
