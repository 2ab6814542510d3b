//! Takes over a cluster that others made.

use std::sync::Arc;

use jiff::Timestamp;
use sealock_node::facts::Kubernetes;

use super::{Operator, OperatorError, Planned};
use crate::adoption::{self, Change, Running, Wanted};
use crate::execute::{self, Connection, SshSettings};
use crate::inventory::{Inventory, Observation};
use crate::plan::{self, Plan, PlanError, Purpose, Taken};
use crate::release::ReleaseView;
use crate::render::containerd;
use crate::spec::{Cluster, Host, Overrides};
use crate::tools;

/// What taking a cluster over comes to.
#[derive(Debug)]
pub struct Adoption {
    /// The plan, or the one that was begun and not finished; nothing where the cluster is ours.
    pub next: Option<Planned>,
    /// What becomes something else, and is no obstacle.
    pub changes: Vec<Change>,
    /// Images of pods that run and that the release does not have: where such a pod is started anew on a node that has no such image,
    /// it does not start.
    pub lacking: Vec<String>,
}

/// What the cluster of the control plane `host` says of itself. Nothing is written there.
///
/// # Errors
/// The host is not reached, or is no control plane; what it says is not understood.
pub async fn look_at_running(host: &Host, ssh: &SshSettings) -> Result<Running, OperatorError> {
    let plane = Arc::new(Connection::open(host, ssh).await?);
    // Which image sandboxes have is no difference.
    let ours = containerd::config("", &Overrides::default()).map_err(PlanError::from)?;
    Ok(Running::read(execute::tell(&plane, std::slice::from_ref(&plane), &ours).await?)?)
}

impl Operator<'_> {
    /// What takes over the cluster that runs on the hosts of `cluster`, or the plan for it that was begun and not finished. Nothing is changed
    /// there: the binary that asks is brought to them, and taken back where the answer is no.
    ///
    /// # Errors
    /// The cluster is not what the spec says, or nothing that can be taken over: every difference, with what was found.
    pub async fn plan_adoption(&self, cluster: &Cluster) -> Result<Adoption, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        // Before any host is touched: kubeadm reads what it will be given.
        let images = tools::kubernetes_images(&self.toolbox(), cluster)?;
        let connections = execute::connect(cluster.hosts(), &self.ssh).await?;
        let outcome = self.adoption(cluster, images, &connections).await;
        if outcome.is_err() {
            self.withdraw_from(&connections).await?;
        }
        outcome
    }

    /// Takes the binary back from hosts of a plan that is not carried out, where they are claimed for nobody.
    ///
    /// # Errors
    /// A host does not answer any more.
    pub async fn withdraw(&self, planned: &Planned) -> Result<(), OperatorError> {
        self.withdraw_from(&planned.connections).await
    }

    /// While a cluster is half taken over, nothing else is planned: a node that is not noted as one yet would be made anew.
    pub(super) fn check_no_adoption(&self) -> Result<(), OperatorError> {
        match self.open_adoption()? {
            Some(_) => Err(PlanError::AdoptionOpen.into()),
            None => Ok(()),
        }
    }

    /// The adoption that was begun and not finished.
    pub(super) fn open_adoption(&self) -> Result<Option<Plan>, OperatorError> {
        Ok(self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Adopt))
    }

    async fn withdraw_from(&self, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let asked = connections.iter().map(async |one| execute::take_back_unclaimed(&*one.alive().await?).await);
        Ok(execute::of_all(asked).await.map(drop)?)
    }

    async fn adoption(
        &self,
        cluster: &Cluster,
        images: Vec<String>,
        connections: &[Arc<Connection>],
    ) -> Result<Adoption, OperatorError> {
        let inventory = execute::observe(connections, &self.binary).await?;
        plan::check_adoptable(cluster, &inventory)?;
        if self.is_ours(cluster, &inventory)? {
            return Ok(Adoption { next: None, changes: Vec::new(), lacking: Vec::new() });
        }
        let begun = self.open_adoption()?;
        let same = |open: &Plan| open.spec == cluster.digest() && open.release.digest == self.release.digest;
        match begun {
            // The cluster was looked at when it was begun, and may be in no state to answer since it was cut off.
            Some(open) if same(&open) => self.resumed(open, inventory, connections).await,
            begun => self.begun_anew(cluster, (images, begun.is_some()), inventory, connections).await,
        }
    }

    /// Goes on with `open`, whatever runs on the hosts: its own steps start it again.
    async fn resumed(
        &self,
        open: Plan,
        inventory: Inventory,
        connections: &[Arc<Connection>],
    ) -> Result<Adoption, OperatorError> {
        open.check_resumable(&inventory).map_err(|error| match error {
            PlanError::Stale { host, changes } => PlanError::AdoptionStuck { host, changes },
            error => error,
        })?;
        let planned = self.assess(open, inventory, true, connections.to_vec()).await?;
        check_free(&planned, true)?;
        Ok(Adoption { next: Some(planned), changes: Vec::new(), lacking: Vec::new() })
    }

    async fn begun_anew(
        &self,
        cluster: &Cluster,
        (images, begun): (Vec<String>, bool),
        inventory: Inventory,
        connections: &[Arc<Connection>],
    ) -> Result<Adoption, OperatorError> {
        let pause = images.iter().find(|name| name.contains("/pause:")).map(String::as_str).unwrap_or_default();
        let ours = containerd::config(pause, &cluster.spec().overrides).map_err(PlanError::from)?;
        let running = self.running(cluster, connections, &ours).await?;
        let release = ReleaseView::new(self.release);
        let found =
            adoption::compare(&running, Wanted { cluster, inventory: &inventory, release, now: Timestamp::now() });
        if !found.is_empty() {
            return Err(PlanError::NotAdoptable { found, begun }.into());
        }
        let taken = taken(cluster, &running)?;
        let ground = self.ground(images)?;
        let plan = plan::plan_adoption(&ground.intent(cluster, ""), &taken, &inventory)?;
        let planned = self.assess(plan, inventory, false, connections.to_vec()).await?;
        check_free(&planned, begun)?;
        self.well(&planned.plan, &planned.connections).await?;
        let lacking = running.images().filter(|name| !release.holds(name)).map(str::to_owned).collect();
        Ok(Adoption { next: Some(planned), changes: adoption::changes(&running), lacking })
    }

    /// Whether every host is a node of ours already, and it was written down here.
    fn is_ours(&self, cluster: &Cluster, inventory: &Inventory) -> Result<bool, OperatorError> {
        let complete = cluster
            .hosts()
            .iter()
            .all(|host| inventory.hosts.get(host.name.as_str()).is_some_and(Observation::is_complete));
        let claimed = |observation: &Observation| matches!(&observation.facts.kubernetes, Kubernetes::Sealock(node) if node.cluster == cluster.name().as_str());
        let is_this_one = inventory.hosts.values().any(claimed);
        match self.applied()? {
            // Written down last: without it the plan is not through.
            None => Ok(false),
            Some(_) if complete => Ok(true),
            Some(_) => Err(PlanError::NameTaken { cluster: cluster.name().to_string(), is_this_one }.into()),
        }
    }

    async fn running(
        &self,
        cluster: &Cluster,
        connections: &[Arc<Connection>],
        ours: &str,
    ) -> Result<Running, OperatorError> {
        let plane = cluster.control_planes().next().map(|host| host.name.as_str());
        let plane = connections.iter().find(|one| Some(one.host()) == plane);
        let plane = plane.ok_or_else(|| OperatorError::NoCluster { folder: self.folder.clone() })?;
        Ok(Running::read(execute::tell(plane, connections, ours).await?)?)
    }
}

fn taken(cluster: &Cluster, running: &Running) -> Result<Taken, PlanError> {
    let unreadable = || PlanError::NotUnderstood {
        what: "/etc/kubernetes/pki/ca.crt of the control plane".into(),
        source: "it holds no certificate".into(),
    };
    let authority = running.authority().ok_or_else(unreadable)?.to_owned();
    let hosts = || cluster.hosts().iter();
    let runtimes = hosts().map(|host| (host.name.to_string(), adoption::runtime_of(running, host))).collect();
    let kept = hosts().map(|host| (host.name.to_string(), adoption::kept_of(running, host))).collect();
    Ok(Taken { authority, runtimes, kept })
}

/// Nothing that the hosts said stands in the way of a step.
fn check_free(planned: &Planned, begun: bool) -> Result<(), PlanError> {
    let found = planned.assessment.obstacles(&planned.plan).into_iter();
    let found: Vec<_> = found.map(|(host, step, found)| adoption::in_the_way(host, step, found)).collect();
    if found.is_empty() { Ok(()) } else { Err(PlanError::NotAdoptable { found, begun }) }
}
