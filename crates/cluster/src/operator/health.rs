//! How well the cluster is before its nodes go away one after the other.

use super::status::nodes_of;
use super::{NodeStatus, Operator, OperatorError, Upgrade};
use crate::plan::{self, Health};
use crate::spec::Cluster;

impl Operator<'_> {
    /// Every node is Ready, members of etcd are of one minor version, and there is room and time for `upgrade`; asked when it is planned, and again
    /// right before it begins. By the word of the control plane that speaks for the cluster.
    ///
    /// # Errors
    /// `PREFLIGHT`, with all that is not so. One that was begun is ended whatever nodes are like: some of them are away because of it.
    pub async fn check_health(&self, cluster: &Cluster, upgrade: &Upgrade) -> Result<(), OperatorError> {
        let Some(planned) = upgrade.next.as_ref().filter(|_| !upgrade.begun) else { return Ok(()) };
        let speaker = planned.connections.iter().find(|connection| connection.host() == planned.plan.speaker);
        let Some(speaker) = speaker else { return Ok(()) };
        let nodes = nodes_of(speaker).await?;
        let problem = |node: NodeStatus| (!node.ready).then_some(node.reason);
        let mut health = Health {
            nodes: nodes.into_iter().map(|(name, node)| (name, problem(node))).collect(),
            ..Health::default()
        };
        if cluster.external_etcd().is_none() {
            let members = speaker.etcd_members(&self.binary.path_there()).await?;
            let versions = members.seen().filter_map(|(name, version, _)| Some((name.to_owned(), version?.to_owned())));
            health.members = versions.collect();
            health.database = members.database();
        }
        Ok(plan::check_health(cluster, &planned.inventory, &health)?)
    }
}
