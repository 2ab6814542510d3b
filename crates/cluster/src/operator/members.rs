//! What etcd has to say before its members are touched.

use std::sync::Arc;

use super::{Operator, OperatorError};
use crate::execute::Connection;
use crate::inventory::{Inventory, Observation};
use crate::plan::{Plan, PlanError};
use crate::spec::{Cluster, Host};

impl Operator<'_> {
    /// No control plane host that is bare has a member in etcd: kubeadm would take that member's place there, without its log.
    pub(super) async fn check_members(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        (inventory, connections): (&Inventory, &[Arc<Connection>]),
    ) -> Result<(), OperatorError> {
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
    pub(super) async fn check_etcd(&self, plan: &Plan, connections: &[Arc<Connection>]) -> Result<(), OperatorError> {
        if connections.len() == 1 {
            return Ok(());
        }
        self.well(plan, connections).await.map(drop)
    }

    /// The same, and an alarm of the only member counts, too. Of two members neither may be away.
    pub(super) async fn check_etcd_for_upgrade(
        &self,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<(), OperatorError> {
        match self.well(plan, connections).await? {
            Some(2) => Err(PlanError::TwoMembers.into()),
            _ => Ok(()),
        }
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
