//! Takes one host out of a cluster that goes on.
//!
//! In this order, so that whatever cuts it off, the same again goes on: its pods leave (that is the caller's, see
//! [`crate::nodes::drain`]), its member leaves etcd, the host is given back, its node is forgotten, the others are told.
//! A data directory goes only after another member has confirmed that its owner is none any more.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned, files};
use crate::execute::{self, Connection, EtcdMember, EtcdMembers, ExecuteError};
use crate::inventory::Observation;
use crate::plan::{self, Plan, PlanError, Purpose};
use crate::spec::{Cluster, Host};

/// A host that is to leave, after all that can be known before was looked at.
#[derive(Debug)]
pub struct Removal {
    host: String,
    /// The host, where it carries a control plane with a member of etcd.
    plane: Option<Host>,
    /// Whether it is a control plane, wherever etcd is.
    is_plane: bool,
    /// The cluster without it.
    pub rest: Cluster,
    /// What gives the host back; nothing where it is lost.
    pub give_back: Option<Planned>,
    /// What is done on the others afterwards, as it looks now.
    pub others: Planned,
    /// A control plane host that stays.
    speaker: Arc<Connection>,
    program: String,
}

/// What became of a host's member of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It had none.
    Never,
    /// Another member confirms that it is none any more.
    Confirmed,
}

impl Operator<'_> {
    /// Takes away from hosts what was brought to them.
    pub(super) async fn take_back(&self, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let farewells = connections.iter().map(async |one| execute::take_back(&*one.alive().await?).await);
        Ok(execute::of_all(farewells).await.map(drop)?)
    }

    /// Looks whether the host called `host` can leave `cluster`. A host that is `lost` is not asked. Nothing is changed.
    ///
    /// # Errors
    /// [`PlanError::LastControlPlane`]; `QUORUM`, where etcd would lose its majority; a host cannot be asked.
    pub async fn removal(&self, cluster: &Cluster, host: &str, lost: bool) -> Result<Removal, OperatorError> {
        self.check_site(cluster)?;
        let (leaving, rest) = (cluster.only(host), cluster.without(host));
        // Of an etcd that somebody else runs no member is a host's, whatever it is called.
        let is_plane = leaving.control_planes().next().is_some();
        let plane = leaving.control_planes().next().filter(|_| cluster.external_etcd().is_none()).cloned();
        let (speaker, members) = self.speaker_of(&rest, host).await?;
        let give_back = if lost { None } else { Some(self.give_back(&leaving).await?) };
        let program = self.binary.path_there();
        if let Some(member) = plane.as_ref().and_then(|plane| members.of(plane)) {
            speaker.etcd_remove(&program, &member.id, true).await?;
        }
        let others = self.plan_rest(&rest).await?;
        Ok(Removal { host: host.to_owned(), plane, is_plane, rest, give_back, others, speaker, program })
    }

    /// A connection to a control plane host of `rest` that is one, and what it says of etcd.
    async fn speaker_of(&self, rest: &Cluster, leaving: &str) -> Result<(Arc<Connection>, EtcdMembers), OperatorError> {
        let mut silent = OperatorError::from(PlanError::LastControlPlane { host: leaving.to_owned() });
        for plane in rest.control_planes() {
            match self.hear(plane).await {
                Ok(Some(speaker)) => return Ok(speaker),
                Ok(None) => {}
                Err(error) => silent = error.into(),
            }
        }
        Err(silent)
    }

    async fn hear(&self, plane: &Host) -> Result<Option<(Arc<Connection>, EtcdMembers)>, ExecuteError> {
        let connections = execute::connect(std::slice::from_ref(plane), &self.ssh).await?;
        let inventory = execute::observe(&connections, &self.binary).await?;
        let is_plane = inventory.hosts.values().any(Observation::is_plane);
        let Some(connection) = connections.into_iter().next().filter(|_| is_plane) else { return Ok(None) };
        let members = connection.etcd_members(&self.binary.path_there()).await?;
        Ok(Some((connection, members)))
    }

    /// What is done on the hosts that stay.
    ///
    /// # Errors
    /// As [`Operator::plan`].
    pub async fn plan_rest(&self, rest: &Cluster) -> Result<Planned, OperatorError> {
        let is_under_way = self.open_plans()?.iter().any(|plan| plan.purpose.stays_open());
        if is_under_way { self.plan_neighbours(rest).await } else { self.plan(rest).await }
    }

    /// While an upgrade or a change of authorities is under way, the others are told who has left, and go on as they are.
    async fn plan_neighbours(&self, rest: &Cluster) -> Result<Planned, OperatorError> {
        let applied = self.applied()?.ok_or_else(|| OperatorError::NoCluster { folder: self.folder.clone() })?;
        let before = rest.with_version(applied.kubernetes.parse().unwrap_or(rest.spec().kubernetes.version));
        let (connections, inventory) = self.look(&before).await?;
        let (ground, speaker) = (self.ground(Vec::new())?, self.earlier_speaker()?);
        let plan = plan::plan_neighbours(&ground.intent(&before, &speaker), &inventory)?;
        self.assess(plan, inventory, false, connections).await
    }

    /// What was applied last, with the hosts of `plan` in the place of its own.
    pub(super) fn keep_hosts_of(&self, plan: &Plan) -> Result<(), OperatorError> {
        let Some(applied) = self.applied()? else { return Ok(()) };
        let kept =
            Plan { hosts: plan.hosts.clone(), spec: plan.spec.clone(), speaker: plan.speaker.clone(), ..applied };
        files::save(&self.folder.join("applied.json"), &self.encode(&kept)?)
    }

    async fn give_back(&self, leaving: &Cluster) -> Result<Planned, OperatorError> {
        let (connections, inventory) = self.look(leaving).await?;
        // Cut off behind the giving back, a host that was taken over is nobody's, and has a Kubernetes of others.
        let begun = self.newest_plan(|plan| {
            plan.purpose == Purpose::Remove
                && leaving.hosts().iter().any(|host| plan.host(host.name.as_str()).is_some())
        })?;
        let plan = plan::plan_giving_back(leaving, self.release, &self.registry(), &inventory, begun.as_ref())?;
        self.assess(plan, inventory, false, connections).await
    }
}

impl Removal {
    /// Whether the member is out already, as after an attempt that was cut off: then its API server serves no more.
    ///
    /// # Errors
    /// As every command.
    pub async fn has_left(&self) -> Result<bool, OperatorError> {
        match &self.plane {
            Some(plane) => Ok(self.member(plane).await?.is_none()),
            None => Ok(false),
        }
    }

    /// Takes the host's member out of etcd, and looks whether it is out.
    ///
    /// # Errors
    /// `QUORUM`; what etcd says.
    pub async fn leave_etcd(&self) -> Result<Left, OperatorError> {
        let Some(plane) = &self.plane else { return Ok(Left::Never) };
        if let Some(member) = self.member(plane).await? {
            self.speaker.etcd_remove(&self.program, &member.id, false).await?;
        }
        match self.member(plane).await? {
            None => Ok(Left::Confirmed),
            Some(_) => Err(OperatorError::StillMember { host: self.host.clone() }),
        }
    }

    /// Takes the node out of the cluster's API, and what it said of its own control plane: kubeadm upgrades no add-on while an API server
    /// is listed that it did not upgrade, and the cluster itself takes minutes to sweep that away.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn forget_node(&self) -> Result<(), OperatorError> {
        let delete = ["delete", "node", &self.host, "--ignore-not-found", "--timeout=60s"];
        self.speaker.admin_kubectl(&delete).await?;
        if self.is_plane {
            let of_it = format!("spec.nodeName={}", self.host);
            let delete = [
                "delete",
                "pods",
                "--namespace=kube-system",
                "--selector=tier=control-plane",
                "--field-selector",
                &of_it,
            ];
            self.speaker
                .admin_kubectl(
                    &[&delete[..], &["--ignore-not-found", "--force", "--grace-period=0", "--wait=false"]].concat(),
                )
                .await?;
        }
        Ok(())
    }

    /// The host's member, by the word of a majority.
    async fn member(&self, plane: &Host) -> Result<Option<EtcdMember>, OperatorError> {
        let members = self.speaker.etcd_members(&self.program).await?;
        if !members.agreed {
            return Err(OperatorError::StillMember { host: self.host.clone() });
        }
        Ok(members.of(plane).cloned())
    }
}
