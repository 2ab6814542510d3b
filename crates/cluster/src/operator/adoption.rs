//! Takes over a cluster that others made.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Operator, OperatorError, Planned};
use crate::adoption::{self, Running, Wanted};
use crate::execute::{self, Connection, SshSettings};
use crate::inventory::{Inventory, Observation};
use crate::plan::{self, PlanError, Purpose, Taken};
use crate::release::ReleaseView;
use crate::render::containerd;
use crate::spec::{Cluster, Host};
use crate::tools;

/// What taking a cluster over comes to.
#[derive(Debug)]
pub struct Adoption {
    /// The plan, or the one that was begun and not finished; nothing where the cluster is ours.
    pub next: Option<Planned>,
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
    Ok(Running::read(execute::tell(&plane, std::slice::from_ref(&plane)).await?)?)
}

impl Operator<'_> {
    /// What takes over the cluster that runs on the hosts of `cluster`. Nothing is changed there: the binary that asks is brought to them,
    /// and taken back where the answer is no.
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
        let is_open = self.open_plans()?.iter().any(|plan| plan.purpose == Purpose::Adopt);
        if is_open { Err(PlanError::AdoptionOpen.into()) } else { Ok(()) }
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
            return Ok(Adoption { next: None, lacking: Vec::new() });
        }
        let running = self.running(cluster, connections).await?;
        let pause = images.iter().find(|name| name.contains("/pause:")).map(String::as_str).unwrap_or_default();
        let ours = containerd::config(pause, &cluster.spec().overrides).map_err(PlanError::from)?;
        let release = ReleaseView::new(self.release);
        let now = Timestamp::now();
        let wanted = Wanted { cluster, inventory: &inventory, release, containerd: &ours, now };
        let differences = adoption::compare(&running, wanted);
        if !differences.is_empty() {
            return Err(PlanError::NotAdoptable(differences).into());
        }
        let taken = taken(cluster, &running)?;
        let ground = self.ground(images)?;
        let fresh = plan::plan_adoption(&ground.intent(cluster, ""), &taken, &inventory)?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        let lacking = running.images().filter(|name| !release.holds(name)).map(str::to_owned).collect();
        let planned = self.assess(plan, inventory, resumed, connections.to_vec()).await?;
        if !planned.assessment.obstacles(&planned.plan).is_empty() {
            return Err(PlanError::NotAdoptable(obstacles(&planned)).into());
        }
        self.well(&planned.plan, &planned.connections).await?;
        Ok(Adoption { next: Some(planned), lacking })
    }

    /// Whether every host is a node of ours already, and it was written down here.
    fn is_ours(&self, cluster: &Cluster, inventory: &Inventory) -> Result<bool, OperatorError> {
        let complete = cluster
            .hosts()
            .iter()
            .all(|host| inventory.hosts.get(host.name.as_str()).is_some_and(Observation::is_complete));
        match self.applied()? {
            // Written down last: without it the plan is not through.
            None => Ok(false),
            Some(_) if complete => Ok(true),
            Some(_) => Err(PlanError::NameTaken { cluster: cluster.name().to_string() }.into()),
        }
    }

    async fn running(&self, cluster: &Cluster, connections: &[Arc<Connection>]) -> Result<Running, OperatorError> {
        let plane = cluster.control_planes().next().map(|host| host.name.as_str());
        let plane = connections.iter().find(|one| Some(one.host()) == plane);
        let plane = plane.ok_or_else(|| OperatorError::NoCluster { folder: self.folder.clone() })?;
        Ok(Running::read(execute::tell(plane, connections).await?)?)
    }
}

fn taken(cluster: &Cluster, running: &Running) -> Result<Taken, PlanError> {
    let unreadable = || PlanError::NotUnderstood {
        what: "/etc/kubernetes/pki/ca.crt of the control plane".into(),
        source: "it holds no certificate".into(),
    };
    let authority = running.authority().ok_or_else(unreadable)?.to_owned();
    let of_host = |host: &Host| (host.name.to_string(), adoption::runtime_of(running, host));
    let runtimes: BTreeMap<_, _> = cluster.hosts().iter().map(of_host).collect();
    Ok(Taken { authority, runtimes })
}

/// What the hosts said stands in the way of a step.
fn obstacles(planned: &Planned) -> Vec<adoption::Mismatch> {
    let found = planned.assessment.obstacles(&planned.plan).into_iter();
    found.map(|(host, step, found)| adoption::in_the_way(host, step, found)).collect()
}
