//! Whether hosts that have no cluster yet know the name by which its API is to be reached.

use std::sync::Arc;

use sealock_node::facts::Kubernetes;

use super::{Operator, OperatorError};
use crate::execute::{self, Connection};
use crate::inventory::Inventory;
use crate::plan::{Gate, GateFailure, PlanError};
use crate::spec::Cluster;

impl Operator<'_> {
    /// An address needs nobody to know it, and of a proxy on each host the plan tells the host itself.
    ///
    /// # Errors
    /// [`PlanError::Gates`] with the hosts that do not know the name; a host cannot be asked.
    pub(super) async fn check_endpoint(
        &self,
        cluster: &Cluster,
        (inventory, connections): (&Inventory, &[Arc<Connection>]),
    ) -> Result<(), OperatorError> {
        let name = cluster.spec().control_plane.endpoint.host();
        if cluster.spec().control_plane.endpoint.address().is_some() || cluster.local_endpoint().is_some() {
            return Ok(());
        }
        let is_bare = |connection: &&Arc<Connection>| {
            let host = inventory.hosts.get(connection.host());
            host.is_some_and(|host| host.facts.kubernetes == Kubernetes::None)
        };
        let asked = connections.iter().filter(is_bare).map(async |connection| {
            let known = connection.alive().await?.knows(name).await?;
            Ok::<_, execute::ExecuteError>((!known).then(|| unknown(connection.host(), name)))
        });
        let failures: Vec<_> = execute::of_all(asked).await?.into_iter().flatten().collect();
        if failures.is_empty() { Ok(()) } else { Err(PlanError::Gates(failures).into()) }
    }
}

fn unknown(host: &str, name: &str) -> GateFailure {
    GateFailure {
        host: host.to_owned(),
        gate: Gate::Name,
        problem: format!("it does not know {name}, by which the API is to be reached (controlPlane.endpoint)"),
        remedy: "have the site's DNS or the host's /etc/hosts name it; or let each host have a proxy of its own: `controlPlane.localProxy: true`".into(),
    }
}
