//! How well the cluster is before its nodes go away one after the other.

use std::sync::Arc;

use super::status::nodes_of;
use super::{Operator, OperatorError};
use crate::execute::Connection;
use crate::inventory::Inventory;
use crate::plan::{self, Health, Plan};
use crate::spec::Cluster;

impl Operator<'_> {
    /// Every node is Ready, members of etcd are of one version, and there is room and time for an upgrade. By the word of the control plane
    /// that speaks for the cluster.
    pub(super) async fn check_health(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        (inventory, connections): (&Inventory, &[Arc<Connection>]),
    ) -> Result<(), OperatorError> {
        let speaker = connections.iter().find(|connection| connection.host() == plan.speaker);
        let Some(speaker) = speaker else { return Ok(()) };
        let nodes = nodes_of(speaker).await?;
        let problem = |node: super::NodeStatus| (!node.ready).then_some(node.reason);
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
        Ok(plan::check_health(cluster, inventory, &health)?)
    }
}
