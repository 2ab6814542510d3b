//! What a cluster is like now.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealock_node::HostFacts;
use sealock_node::facts::{Kubernetes, OwnedFile};
use sealock_node::time::Kept;
use serde::{Deserialize, Serialize};

use super::{Operator, OperatorError};
use crate::execute::{self, Connection, ExecuteError};
use crate::inventory::host_words;
use crate::spec::{Cluster, Host};

/// What a cluster is like now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// The Kubernetes version that the spec asks for.
    pub kubernetes: String,
    /// Digests of plans that were begun and not finished.
    pub open_plans: Vec<String>,
    /// What the cluster's authority is known by, where a host says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_hash: Option<String>,
    /// Its hosts, in the order of the spec.
    pub hosts: Vec<HostStatus>,
    /// The members of an etcd that somebody else runs, where the cluster keeps its state there and one of its control planes sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_etcd: Vec<MemberStatus>,
    /// Why the cluster's own view is missing, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_problem: Option<String>,
}

/// What one host is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Why it could not be asked, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whose it is, in words.
    pub owner: String,
    /// Files of ours that are not as we wrote them, and a clock that is not kept as it was told.
    pub drift: Vec<String>,
    /// How its clock is kept, where the spec says from whom it gets its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Kept>,
    /// What the cluster says about it as a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeStatus>,
}

/// A member of an etcd that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Like `3.6.8`, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is not well, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the cluster says about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Whether it is Ready.
    pub ready: bool,
    /// Why it is not, where it is not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// kubelet's version.
    pub kubelet: String,
    /// The container runtime and its version.
    pub runtime: String,
}

impl Status {
    /// Whether every host is reached, a Ready node, and as we wrote it.
    pub fn is_well(&self) -> bool {
        let well = |host: &HostStatus| host.drift.is_empty() && host.node.as_ref().is_some_and(|node| node.ready);
        let etcd_is = self.external_etcd.iter().all(|member| member.problem.is_none());
        self.open_plans.is_empty() && self.hosts.iter().all(well) && etcd_is
    }
}

#[derive(Deserialize)]
struct NodeList {
    items: Vec<NodeObject>,
}

#[derive(Deserialize)]
struct NodeObject {
    metadata: Metadata,
    status: NodeObjectStatus,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeObjectStatus {
    #[serde(default)]
    conditions: Vec<Condition>,
    node_info: NodeInfo,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    kubelet_version: String,
    container_runtime_version: String,
}

impl Operator<'_> {
    /// What `cluster` is like now. A host that does not answer is part of the answer.
    ///
    /// # Errors
    /// A file of the station.
    pub async fn status(&self, cluster: &Cluster) -> Result<Status, OperatorError> {
        let asked = execute::of_each(cluster.hosts().iter().map(|host| self.ask(host))).await;
        let mut connection = None;
        let (mut hosts, mut ca_hash) = (Vec::new(), None);
        for (host, answer) in cluster.hosts().iter().zip(asked) {
            ca_hash = ca_hash.or_else(|| answer.as_ref().ok().and_then(|(_, facts)| authority(cluster, facts)));
            let (status, connected) = host_status(cluster, host, answer);
            connection = connection.or(connected);
            hosts.push(status);
        }
        let mut external_etcd = Vec::new();
        let api_problem = match connection {
            None => Some("no control plane can be asked".into()),
            Some(connection) => {
                if cluster.external_etcd().is_some() {
                    external_etcd = self.external_members(&connection).await;
                }
                add_nodes(&connection, &mut hosts).await.err().map(|error| error.to_string())
            }
        };
        let open_plans = self.open_plans()?;
        Ok(Status {
            cluster: cluster.name().to_string(),
            kubernetes: cluster.spec().kubernetes.version.to_string(),
            open_plans: open_plans.iter().filter_map(|plan| Some(plan.digest().ok()?.to_string())).collect(),
            ca_hash,
            hosts,
            external_etcd,
            api_problem,
        })
    }

    async fn external_members(&self, plane: &Connection) -> Vec<MemberStatus> {
        let member = |name: &str, version: Option<&str>, problem: Option<String>| MemberStatus {
            name: name.to_owned(),
            version: version.map(ToOwned::to_owned),
            problem,
        };
        match plane.etcd_members(&self.binary.path_there()).await {
            Ok(members) => members.seen().map(|(name, version, problem)| member(name, version, problem)).collect(),
            Err(error) => vec![member("-", None, Some(error.to_string()))],
        }
    }

    pub(super) async fn ask(&self, host: &Host) -> Result<(Arc<Connection>, HostFacts), ExecuteError> {
        let connection = Arc::new(Connection::open(host, &self.ssh).await?);
        let mut inventory = execute::observe(std::slice::from_ref(&connection), &self.binary).await?;
        match inventory.hosts.remove(host.name.as_str()) {
            Some(observation) => Ok((connection, observation.facts)),
            None => Err(ExecuteError::InvalidPlan { problem: format!("host {} was not asked", host.name) }),
        }
    }
}

fn host_status(
    cluster: &Cluster,
    host: &Host,
    answer: Result<(Arc<Connection>, HostFacts), ExecuteError>,
) -> (HostStatus, Option<Arc<Connection>>) {
    let mut status = HostStatus {
        name: host.name.to_string(),
        address: host.address.to_string(),
        problem: None,
        owner: "unknown".into(),
        drift: Vec::new(),
        time: None,
        node: None,
    };
    match answer {
        Err(error) => {
            status.problem = Some(error.to_string());
            (status, None)
        }
        Ok((connection, facts)) => {
            status.owner = owner(&facts.kubernetes);
            status.time = clock(cluster, facts.time.kept.as_ref());
            status.drift = drift(&facts, status.time.as_ref());
            let is_plane = matches!(&facts.kubernetes, Kubernetes::Sealock(node) if node.is_plane());
            (status, is_plane.then_some(connection))
        }
    }
}

/// What the authority of `cluster` is known by on a node of it.
fn authority(cluster: &Cluster, facts: &HostFacts) -> Option<String> {
    match &facts.kubernetes {
        Kubernetes::Sealock(node) if node.cluster == cluster.name().as_str() => node.ca_hash.clone(),
        _ => None,
    }
}

fn owner(kubernetes: &Kubernetes) -> String {
    match kubernetes {
        Kubernetes::None => "free".into(),
        Kubernetes::Sealock(node) if node.joined => format!("node of {}", node.cluster),
        Kubernetes::Sealock(node) => format!("claimed for {}", node.cluster),
        Kubernetes::Foreign { evidence } => format!("foreign ({})", evidence.join(", ")),
    }
}

/// How a host's clock is kept, where the spec says from whom it gets its time: what it was told once counts no more where the spec does not.
pub(super) fn clock(cluster: &Cluster, kept: Option<&Kept>) -> Option<Kept> {
    let kept = kept.filter(|_| cluster.spec().time.is_some())?;
    Some(Kept {
        server: kept.server.as_deref().map(host_words),
        ahead_us: kept.ahead_us,
        problem: kept.problem.as_deref().map(host_words),
    })
}

fn drift(facts: &HostFacts, clock: Option<&Kept>) -> Vec<String> {
    let changed = facts.owned.iter().filter(|(_, file)| file.found.as_ref() != Some(&file.written));
    let words = |(path, file): (&String, &OwnedFile)| {
        format!("{path} {}", if file.found.is_some() { "has changed" } else { "is gone" })
    };
    changed.map(words).chain(clock.and_then(|kept| kept.problem.clone())).collect()
}

async fn add_nodes(connection: &Connection, hosts: &mut [HostStatus]) -> Result<(), ExecuteError> {
    let mut nodes = nodes_of(connection).await?;
    for host in hosts {
        host.node = nodes.remove(&host.name);
    }
    Ok(())
}

/// What the cluster of this control plane host says about each node.
pub(super) async fn nodes_of(connection: &Connection) -> Result<BTreeMap<String, NodeStatus>, ExecuteError> {
    let answer = connection.admin_kubectl(&["get", "nodes", "-o", "json"]).await?;
    let list: NodeList = serde_json::from_slice(&answer).map_err(|source| ExecuteError::Answer {
        host: connection.host().into(),
        command: "kubectl get nodes".into(),
        source,
    })?;
    Ok(list.items.into_iter().map(|object| (object.metadata.name, node_status(object.status))).collect())
}

fn node_status(object: NodeObjectStatus) -> NodeStatus {
    let ready = object.conditions.into_iter().find(|condition| condition.kind == "Ready");
    let is_ready = ready.as_ref().is_some_and(|condition| condition.status == "True");
    NodeStatus {
        ready: is_ready,
        reason: if is_ready { String::new() } else { ready.map(|condition| condition.message).unwrap_or_default() },
        kubelet: object.node_info.kubelet_version,
        runtime: object.node_info.container_runtime_version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  \
        hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
        hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

    #[test]
    fn a_clock_counts_where_the_spec_says_who_keeps_it_and_its_host_does_not_write_to_the_terminal() {
        let cluster = |text: &str| Cluster::load(std::path::Path::new("cluster.yaml"), text).unwrap();
        let timed = cluster(&SPEC.replacen("  hosts:", "  time: {servers: [10.77.0.2]}\n  hosts:", 1));
        let problem = Some(format!("\u{1b}[2J{}", "no answer ".repeat(100)));
        let kept = Kept { server: Some("\u{1b}]0;a".into()), ahead_us: Some(3), problem };
        assert_eq!(clock(&cluster(SPEC), Some(&kept)), None);
        assert_eq!(clock(&timed, None), None);
        let told = clock(&timed, Some(&kept)).unwrap();
        assert_eq!(told.server.as_deref(), Some("\\u{1b}]0;a"));
        let problem = told.problem.unwrap();
        assert!(problem.starts_with("\\u{1b}[2Jno answer no") && problem.ends_with(" …"), "{problem}");
        assert!(problem.chars().count() < 320, "{problem}");
    }
}
