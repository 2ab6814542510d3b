//! Takes hosts out of a cluster that goes on: one, or several that leave together, as where they are lost together.
//!
//! In this order, so that whatever cuts it off, the same again goes on: pods leave (that is the caller's, see
//! [`crate::nodes::drain`]), members leave etcd, the hosts are given back, their nodes are forgotten, the others are told.
//! A data directory goes only after another member has confirmed that its owner is none any more.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned, files};
use crate::execute::{self, Connection, EtcdMember, EtcdMembers, ExecuteError};
use crate::inventory::Observation;
use crate::plan::{self, Plan, PlanError, Purpose};
use crate::spec::{Cluster, Host};

/// Hosts that are to leave, after all that can be known before was looked at.
#[derive(Debug)]
pub struct Removal {
    hosts: Vec<String>,
    /// Those of them that are control planes, wherever etcd is.
    control_planes: Vec<String>,
    /// Those of them that have a member of etcd.
    planes: Vec<Host>,
    /// The cluster without them.
    pub rest: Cluster,
    /// What gives the hosts back; nothing where they are lost.
    pub give_back: Option<Planned>,
    /// What is done on the others afterwards, as it looks now.
    pub others: Planned,
    /// A control plane host that stays.
    speaker: Arc<Connection>,
    program: String,
}

/// What became of the hosts' members of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// They had none.
    Never,
    /// Another member confirms that they are none any more.
    Confirmed,
}

impl Operator<'_> {
    /// Takes away from hosts what was brought to them.
    pub(super) async fn take_back(&self, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let farewells = connections.iter().map(async |one| execute::take_back(&*one.alive().await?).await);
        Ok(execute::of_all(farewells).await.map(drop)?)
    }

    /// Looks whether `hosts` can leave `cluster`. Those that are `lost` are not asked, all others are: who is lost, too, is to be named with
    /// them. Nothing is changed.
    ///
    /// # Errors
    /// [`PlanError::LastControlPlane`]; `QUORUM`, where etcd would lose its majority; a host cannot be asked.
    pub async fn removal(&self, cluster: &Cluster, hosts: &[String], lost: bool) -> Result<Removal, OperatorError> {
        self.check_site(cluster)?;
        let (leaving, rest) = (cluster.only(hosts), cluster.without_all(hosts));
        // Of an etcd that somebody else runs no member is a host's, whatever it is called.
        let control_planes: Vec<&Host> = leaving.control_planes().collect();
        let has_members = cluster.external_etcd().is_none();
        let planes: Vec<Host> = control_planes.iter().filter(|_| has_members).copied().cloned().collect();
        let control_planes = control_planes.iter().map(|host| host.name.to_string()).collect();
        let (speaker, members) = self.speaker_of(&rest, &hosts.join(", ")).await?;
        let give_back = if lost { None } else { Some(self.give_back(&leaving).await?) };
        let program = self.binary.path_there();
        for member in planes.iter().filter_map(|plane| members.of(plane)) {
            speaker.etcd_remove(&program, &member.id, true).await?;
        }
        let others = self.plan_rest(&rest).await?;
        Ok(Removal { hosts: hosts.to_vec(), control_planes, planes, rest, give_back, others, speaker, program })
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
        if is_under_way {
            return self.plan_neighbours(rest).await;
        }
        match self.plan(rest).await {
            // What a node that stays waits for is no reason for another one to stay.
            Err(OperatorError::Plan(PlanError::Custody(error))) if error.is_waiting() => {
                self.plan_neighbours(rest).await
            }
            planned => planned,
        }
    }

    /// While an upgrade or a change of authorities is under way, or one of them waits for certificates, the others are told who has left, and go on as they are.
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
    /// Whether the member on `host` is out already, as after an attempt that was cut off: then its API server serves no more.
    ///
    /// # Errors
    /// As every command.
    pub async fn has_left(&self, host: &str) -> Result<bool, OperatorError> {
        match self.planes.iter().find(|plane| plane.name.as_str() == host) {
            Some(plane) => Ok(self.member(plane).await?.is_none()),
            None => Ok(false),
        }
    }

    /// Takes the hosts' members out of etcd one after the other, and looks whether each is out.
    ///
    /// # Errors
    /// `QUORUM`; what etcd says.
    pub async fn leave_etcd(&self) -> Result<Left, OperatorError> {
        for plane in &self.planes {
            if let Some(member) = self.member(plane).await? {
                self.speaker.etcd_remove(&self.program, &member.id, false).await?;
            }
            if self.member(plane).await?.is_some() {
                return Err(OperatorError::StillMember { host: plane.name.to_string() });
            }
        }
        Ok(if self.planes.is_empty() { Left::Never } else { Left::Confirmed })
    }

    /// Takes the nodes out of the cluster's API, and what they said of their own control planes: kubeadm upgrades no add-on while an API
    /// server is listed that it did not upgrade, and the cluster itself takes minutes to sweep that away.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn forget_nodes(&self) -> Result<(), OperatorError> {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let delete = [&["delete", "node", "--ignore-not-found", "--timeout=60s"], &hosts[..]].concat();
        self.speaker.admin_kubectl(&delete).await?;
        for host in &self.control_planes {
            let of_it = format!("--field-selector=spec.nodeName={host}");
            let delete = ["delete", "pods", "--namespace=kube-system", "--selector=tier=control-plane", &of_it];
            let at_once = ["--ignore-not-found", "--force", "--grace-period=0", "--wait=false"];
            self.speaker.admin_kubectl(&[&delete[..], &at_once].concat()).await?;
        }
        Ok(())
    }

    /// The host's member, by the word of a majority.
    async fn member(&self, plane: &Host) -> Result<Option<EtcdMember>, OperatorError> {
        let members = self.speaker.etcd_members(&self.program).await?;
        if !members.agreed {
            return Err(OperatorError::StillMember { host: plane.name.to_string() });
        }
        Ok(members.of(plane).cloned())
    }
}
