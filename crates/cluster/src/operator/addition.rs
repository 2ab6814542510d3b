//! Takes hosts of the spec into a cluster that is there, and changes nothing else.

use super::requests::Required;
use super::{Operator, OperatorError, Planned};
use crate::plan::{self, PlanError};
use crate::spec::Cluster;

impl Operator<'_> {
    /// The plan that takes `hosts` of `cluster` in: that of an apply, where it comes to nothing else.
    ///
    /// # Errors
    /// There is no cluster yet; others would be changed, too, by what else has changed in spec or release; as [`Operator::plan`].
    pub async fn plan_addition(&self, cluster: &Cluster, hosts: &[String]) -> Result<Planned, OperatorError> {
        let Some(applied) = self.applied()? else {
            return Err(OperatorError::NoCluster { folder: self.folder.clone() });
        };
        let planned = self.plan_for(cluster, Required::And(hosts)).await?;
        let observed = planned.inventory.hosts.iter();
        let more =
            observed.filter(|(name, host)| !host.is_complete() && !hosts.contains(name)).map(|(name, _)| name.clone());
        let more: Vec<String> = more.collect();
        let mut changes: Vec<String> =
            more.iter().map(|host| format!("{host}: is no node yet, and was not named")).collect();
        // Left out of the file, it would lose its route, and its part of the pod network to whoever comes.
        let lost = applied.hosts.iter().filter(|host| cluster.host(&host.name).is_none());
        changes.extend(lost.map(|host| format!("{}: is in the cluster, and not in the spec", host.name)));
        changes.extend(plan::beyond(&planned.plan, &planned.assessment, &[hosts, more.as_slice()].concat()));
        if changes.is_empty() { Ok(planned) } else { Err(PlanError::NotOnlyAdded { changes }.into()) }
    }
}
