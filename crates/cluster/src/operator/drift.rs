//! Drift: where hosts and cluster are not what the spec says.

use serde::Serialize;

use super::status::clock;
use super::{Operator, OperatorError, PassedOver, Planned};
use crate::execute::Connection;
use crate::inventory::{Inventory, Observation};
use crate::plan::{Behind, TIME};
use crate::spec::Cluster;

/// Names, a blank between them.
const NODES: [&str; 4] = ["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"];

/// One thing that is not what the spec says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The host; for what concerns all of them, the one that said so.
    pub host: String,
    /// The step that would change it; nothing where no step does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What was found.
    pub found: String,
    /// Whether `cluster apply` brings it to what the spec says. What somebody else made is never overwritten, and nobody leaves a
    /// cluster by being left out of a file.
    pub is_repairable: bool,
}

impl Operator<'_> {
    /// What differs, by `planned`, a plan that was made just now for `cluster`: on hosts, in etcd's membership, and among the nodes.
    ///
    /// A control plane that does not answer is one of the differences.
    pub async fn differences(&self, cluster: &Cluster, planned: &Planned) -> Vec<Difference> {
        let on_hosts = planned.assessment.differences(&planned.plan).map(|(task, step, probe)| {
            let (found, is_repairable) = match probe {
                sealock_node::Probe::Foreign { found } => (format!("in the way: {found}"), false),
                sealock_node::Probe::Unknown { because } => (format!("cannot tell: {because}"), false),
                sealock_node::Probe::NotDone { because } => (because.clone(), true),
                sealock_node::Probe::Done => (String::new(), true),
            };
            Difference { host: task.host.clone(), step: Some(step.id.clone()), found, is_repairable }
        });
        let mut all: Vec<Difference> = on_hosts.collect();
        let is_there = planned.inventory.hosts.get(&planned.plan.speaker).is_some_and(Observation::is_plane);
        let speaker = planned.connections.iter().find(|connection| connection.host() == planned.plan.speaker);
        let waits = planned.passed_over.iter().any(|one| planned.plan.host(&one.host).is_some());
        if waits || all.iter().any(|one| !one.is_repairable) {
            // Where something is in the way, `apply` does nothing at all.
            all.iter_mut().for_each(|one| one.is_repairable = false);
        }
        all.extend(planned.passed_over.iter().map(passed_over));
        let clocks = unkept(cluster, &planned.inventory, &all);
        all.extend(clocks);
        all.extend(planned.behind.iter().map(waiting));
        all.extend(self.os_packages_waiting(planned).await);
        if let Some(speaker) = speaker.filter(|_| is_there) {
            let strangers = self.strangers(cluster, speaker).await;
            all.extend(strangers.unwrap_or_else(|error| vec![beyond(speaker, error.to_string())]));
        }
        all
    }

    /// Nodes and members of etcd that the spec does not know.
    async fn strangers(&self, cluster: &Cluster, speaker: &Connection) -> Result<Vec<Difference>, OperatorError> {
        let nodes = speaker.admin_kubectl(&NODES).await?;
        let nodes = String::from_utf8_lossy(&nodes).into_owned();
        let unknown = nodes.split_whitespace().filter(|name| cluster.host(name).is_none());
        let mut all: Vec<Difference> = unknown
            .map(|name| beyond(speaker, format!("the cluster has a node {name}, and the spec does not")))
            .collect();
        let members = speaker.etcd_members(&self.binary.path_there()).await?;
        if cluster.external_etcd().is_some() {
            let unwell = members.seen().filter_map(|(name, _, problem)| Some((name, problem?)));
            all.extend(
                unwell.map(|(name, problem)| beyond(speaker, format!("member {name} of the external etcd: {problem}"))),
            );
            return Ok(all);
        }
        let known = cluster.control_planes().filter(|host| members.of(host).is_some()).count();
        if members.count() > known {
            let more = members.count() - known;
            all.push(beyond(speaker, format!("etcd has {more} more members than the spec has control planes")));
        }
        Ok(all)
    }
}

/// Who waits for what somebody elsewhere is to sign.
fn passed_over(one: &PassedOver) -> Difference {
    let found = format!("{} ({})", one.because, one.next);
    Difference { host: one.host.clone(), step: None, found, is_repairable: false }
}

/// Clocks that are not kept as they were told.
fn unkept(cluster: &Cluster, inventory: &Inventory, found: &[Difference]) -> Vec<Difference> {
    let clock = |(host, observation): (&String, &Observation)| {
        let problem = clock(cluster, observation.facts.time.kept.as_ref())?.problem?;
        unkept_on(host, problem, found)
    };
    inventory.hosts.iter().filter_map(clock).collect()
}

/// Of one host, where none of its steps that were `found` says so already: that a server is silent, no step changes.
fn unkept_on(host: &str, problem: String, found: &[Difference]) -> Option<Difference> {
    let is_told = found.iter().any(|one| one.host == host && one.step.as_deref() == Some(TIME));
    (!is_told).then(|| Difference { host: host.to_owned(), step: None, found: problem, is_repairable: false })
}

/// What no apply brings to a node under its pods.
fn waiting(behind: &Behind) -> Difference {
    let Behind { host, component, runs, has } = behind;
    let found = format!("{runs} is in use, and the release has {has}: `cluster upgrade --components` brings it");
    Difference { host: host.clone(), step: Some(format!("component/{component}")), found, is_repairable: false }
}

/// What no step concerns.
fn beyond(speaker: &Connection, found: String) -> Difference {
    Difference { host: speaker.host().to_owned(), step: None, found, is_repairable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_told_once_and_is_nothing_that_an_apply_repairs() {
        let silent = || "no answer to chrony from 10.77.0.2 (UDP port 123)".to_owned();
        let step = |host: &str, step: &str| Difference {
            host: host.into(),
            step: Some(step.into()),
            found: "it is not there".into(),
            is_repairable: true,
        };
        let told = unkept_on("w1", silent(), &[step("cp1", TIME), step("w1", "network")]).unwrap();
        assert!(told.found == silent() && told.host == "w1" && told.step.is_none() && !told.is_repairable);
        assert_eq!(unkept_on("w1", silent(), &[step("w1", TIME)]), None);
    }
}
