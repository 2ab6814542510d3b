//! What hosts lack, out of the OS packages of the release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealock_bundle::os_packages::{self, OsPackages};

use super::os_packages::Question;
use super::{Operator, OperatorError};
use crate::execute::{self, Connection};
use crate::inventory::Inventory;
use crate::plan::{self, HostPackages, Plan, PlanError, Purpose};
use crate::spec::Cluster;

type Hosts = BTreeMap<String, HostPackages>;

impl Operator<'_> {
    /// What comes to hosts of `cluster` that lack it, by host. What no set of the release has stays lacking, and a gate says so.
    pub(super) async fn host_needs(
        &self,
        cluster: &Cluster,
        inventory: &Inventory,
        connections: &[Arc<Connection>],
    ) -> Result<Hosts, OperatorError> {
        let open = self.open_plans()?.into_iter().find(brings_needs);
        let (mut hosts, begun) = self.begun_needs(open.as_ref());
        hosts.retain(|host, _| cluster.host(host).is_some());
        let mut lacking = plan::lacking(cluster, inventory);
        if lacking.is_empty() {
            return Ok(hosts);
        }
        let sets = os_packages::in_release(self.store, &self.release.release)?;
        for (host, packages) in &mut lacking {
            let fitting = inventory.hosts.get(host).map(|observed| plan::sets_of(&sets, observed)).unwrap_or_default();
            packages.retain(|package| has(&fitting, package));
        }
        plan::go_on_with(&mut hosts, &mut lacking);
        let mut asked = Vec::new();
        for connection in connections {
            let host = connection.host();
            let (Some(packages), Some(observed)) = (lacking.get(host), inventory.hosts.get(host)) else { continue };
            let packages: Vec<String> = packages.iter().cloned().collect();
            asked.push((connection, plan::sets_of(&sets, observed), packages));
        }
        let begun = &begun;
        let looks = asked.iter().map(async |(connection, sets, packages)| {
            let host = connection.host();
            let is_begun = begun.contains(host);
            let question = Question { install: packages, only: true, begun: is_begun, ..Question::default() };
            let look = self.ask_of_sets(connection, sets, &question).await?;
            if look.interrupted && !is_begun {
                return Err(OperatorError::from(PlanError::DpkgInterrupted { host: host.to_owned() }));
            }
            Ok((host.to_owned(), HostPackages::of(host, look, sets)?))
        });
        hosts.extend(execute::of_all(looks).await?);
        Ok(hosts)
    }

    /// What a plan that is open brings for this release, to go on with; and the hosts to which it, or one for another release, has begun to
    /// bring something.
    fn begun_needs(&self, open: Option<&Plan>) -> (Hosts, BTreeSet<String>) {
        let needs = open.map(Plan::needs_of_hosts).unwrap_or_default();
        let hosts = needs.keys().cloned().collect();
        let is_same = open.is_some_and(|open| open.release.digest == self.release.digest);
        (if is_same { needs } else { Hosts::new() }, hosts)
    }
}

/// Whether it is a plan that brings hosts what they lack.
fn brings_needs(plan: &Plan) -> bool {
    matches!(plan.purpose, Purpose::Apply | Purpose::Prepare | Purpose::Restore | Purpose::Requests)
}

fn has(sets: &[&OsPackages], package: &str) -> bool {
    sets.iter().any(|set| set.packages.iter().any(|one| one.name == package))
}
