//! What etcd has to say before its members are touched.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::{Operator, OperatorError};
use crate::execute::Connection;
use crate::inventory::{Inventory, Observation};
use crate::plan::{self, ExternalEtcdError, Plan, PlanError};
use crate::spec::{Cluster, Host};

/// How long a member may take to serve again.
const STARTS: Duration = Duration::from_secs(60);

impl Operator<'_> {
    /// No control plane host that is bare has a member in etcd: kubeadm would take that member's place there, without its log.
    pub(super) async fn check_members(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        (inventory, connections): (&Inventory, &[Arc<Connection>]),
    ) -> Result<(), OperatorError> {
        // Somebody else's members are on no control plane.
        if cluster.external_etcd().is_some() {
            return Ok(());
        }
        let joined = |host: &&Host| inventory.hosts.get(host.name.as_str()).is_some_and(Observation::has_joined);
        let newcomers: Vec<&Host> = cluster.control_planes().filter(|host| !joined(host)).collect();
        let speaker = cluster.host(&plan.speaker).filter(joined);
        let speaker = speaker.and_then(|host| connections.iter().find(|one| one.host() == host.name.as_str()));
        let (Some(speaker), false) = (speaker, newcomers.is_empty()) else { return Ok(()) };
        let members = speaker.etcd_members(&self.binary.path_there()).await?;
        match newcomers.iter().find(|host| members.of(host).is_some_and(|member| !member.learner)) {
            Some(host) => Err(PlanError::StillMember { host: host.name.to_string() }.into()),
            None => Ok(()),
        }
    }

    /// Every member of etcd is well: only then another one may be away for a moment.
    pub(super) async fn check_etcd(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        if connections.len() == 1 {
            return Ok(());
        }
        self.check_all_well(cluster, plan, connections).await
    }

    /// The same, and an alarm of the only member counts, too.
    pub(super) async fn check_all_well(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        match cluster.external_etcd() {
            Some(_) => self.check_external_serves(plan, connections).await,
            None => self.well(plan, connections).await.map(drop),
        }
    }

    /// The same, and an alarm of the only member counts, too. Of two members neither may be away, where they are on control planes; where they
    /// are not, none is, and each has to be new enough for what is to come.
    pub(super) async fn check_etcd_for_upgrade(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        if cluster.external_etcd().is_some() {
            return self.check_external_members(plan, connections).await;
        }
        match self.well(plan, connections).await? {
            Some(2) => Err(PlanError::TwoMembers.into()),
            _ => Ok(()),
        }
    }

    /// No member of it is on a control plane: while a majority serves, the rest is its owner's.
    async fn check_external_serves(&self, plan: &Plan, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let speaker = connections.iter().find(|connection| connection.host() == plan.speaker);
        let Some(speaker) = speaker else { return Ok(()) };
        let members = speaker.etcd_members(&self.binary.path_there()).await?;
        if members.agreed {
            return Ok(());
        }
        let problems = members.seen().filter_map(|(name, _, problem)| Some(format!("member {name}: {}", problem?)));
        let (host, found) = (plan.speaker.clone(), problems.collect());
        Err(PlanError::from(ExternalEtcdError::Unwell { host, found }).into())
    }

    /// By what the control plane that speaks sees: its API server's files are there.
    async fn check_external_members(&self, plan: &Plan, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        let speaker = connections.iter().find(|connection| connection.host() == plan.speaker);
        let Some(speaker) = speaker else { return Ok(()) };
        let members = speaker.etcd_members(&self.binary.path_there()).await?;
        if !members.well {
            let problems = members.seen().filter_map(|(name, _, problem)| Some(format!("member {name}: {}", problem?)));
            let (host, found) = (plan.speaker.clone(), problems.collect());
            return Err(PlanError::from(ExternalEtcdError::Unwell { host, found }).into());
        }
        let versions = members.seen().filter_map(|(name, version, _)| Some((name, version?)));
        let kubernetes = plan.kubernetes.parse().map_err(|_| PlanError::NotObserved { host: plan.speaker.clone() })?;
        Ok(plan::check_not_old(kubernetes, versions).map_err(PlanError::from)?)
    }

    /// Every member of etcd is well but that of the host `under_way`: a plan was cut off there that brings it up again, and no other one may
    /// be away meanwhile. Of one member nobody else has to be there. A host may go on by itself after its operator was cut off, so one that
    /// is just starting is waited for.
    pub(super) async fn check_etcd_but(
        &self,
        cluster: &Cluster,
        under_way: Option<&str>,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        if cluster.control_planes().count() == 1 {
            return Ok(());
        }
        let under_way = under_way.and_then(|name| cluster.host(name));
        let deadline = Instant::now() + STARTS;
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.others_are_well(cluster, under_way, connections).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PlanError::EtcdUnwell.into());
            }
        }
    }

    /// By the word of a control plane host that is not `under_way`: that one's own member may not serve.
    async fn others_are_well(
        &self,
        cluster: &Cluster,
        under_way: Option<&Host>,
        connections: &[Arc<Connection>],
    ) -> bool {
        let others = cluster.control_planes().filter(|host| under_way.is_none_or(|one| one.name != host.name));
        for host in others {
            let Some(connection) = connections.iter().find(|one| one.host() == host.name.as_str()) else { continue };
            if let Ok(members) = connection.etcd_members(&self.binary.path_there()).await {
                return members.agreed && members.are_well_but(under_way);
            }
        }
        false
    }

    /// How many members etcd has, all of them well; nothing where nobody speaks for the cluster.
    pub(super) async fn well(
        &self,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<Option<usize>, OperatorError> {
        let speaker = connections.iter().find(|connection| connection.host() == plan.speaker);
        let Some(speaker) = speaker else { return Ok(None) };
        let members = speaker.etcd_members(&self.binary.path_there()).await?;
        if members.well { Ok(Some(members.count())) } else { Err(PlanError::EtcdUnwell.into()) }
    }
}
