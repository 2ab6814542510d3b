//! Hosts that do not answer, where others need not wait for them.

use std::sync::Arc;

use super::super::{Looked, Operator, OperatorError};
use super::PassedOver;
use crate::execute::{self, Connection, ExecuteError};
use crate::inventory::{Inventory, Observation};
use crate::spec::{Cluster, Host};

/// What hosts say, and who says nothing.
#[derive(Debug, Default)]
pub(in crate::operator) struct There {
    pub(super) connections: Vec<Arc<Connection>>,
    pub(super) inventory: Inventory,
    pub(super) away: Vec<(Host, ExecuteError)>,
}

impl There {
    /// Whether a control plane answers on which kubeadm is through.
    pub(super) fn has_plane(&self) -> bool {
        self.inventory.hosts.values().any(Observation::is_plane)
    }

    /// `cluster` without those that are away, and these, each with what is `next` once it answers.
    ///
    /// # Errors
    /// Why one that `is_needed` does not answer.
    pub(in crate::operator) fn without_away(
        self,
        cluster: &Cluster,
        is_needed: impl Fn(&Host) -> bool,
        next: impl Fn(&str) -> String,
    ) -> Result<(Cluster, Looked, Vec<PassedOver>), OperatorError> {
        let needed: Vec<bool> = self.away.iter().map(|(host, _)| is_needed(host)).collect();
        let (mut names, mut passed_over) = (Vec::new(), Vec::new());
        for ((host, error), is_needed) in self.away.into_iter().zip(needed) {
            if is_needed {
                return Err(error.into());
            }
            let name = host.name.to_string();
            passed_over.push(PassedOver::away(&name, &error, &next(&name)));
            names.push(name);
        }
        Ok((cluster.without_all(&names), (self.connections, self.inventory), passed_over))
    }
}

impl Operator<'_> {
    /// What the hosts of `cluster` say. Who does not answer is part of the answer.
    ///
    /// # Errors
    /// A host that answers cannot be asked.
    pub(in crate::operator) async fn look_at_those_there(&self, cluster: &Cluster) -> Result<There, OperatorError> {
        let asked = execute::of_each(cluster.hosts().iter().map(async |host| {
            let connection = Arc::new(Connection::open(host, &self.ssh).await?);
            let inventory = execute::observe(std::slice::from_ref(&connection), &self.binary).await?;
            Ok::<_, ExecuteError>((connection, inventory))
        }));
        let mut there = There::default();
        for (host, answer) in cluster.hosts().iter().zip(asked.await) {
            match answer {
                Ok((connection, inventory)) => {
                    there.connections.push(connection);
                    there.inventory.hosts.extend(inventory.hosts);
                }
                Err(error) if is_away(&error) => there.away.push((host.clone(), error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(there)
    }
}

fn is_away(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Unreachable { .. } | ExecuteError::Lost { .. } | ExecuteError::Late { .. })
}
