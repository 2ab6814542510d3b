//! A node that is emptied before it changes, and given back afterwards; runs on a control plane host, or on the node itself.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evicted::evict_all;
use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::step::kubeadm::unlimited_kubectl;
use crate::step::kubectl_here::{kubectl_here, speaks_as_node};
use crate::step::node_ready::ask;
use crate::step::{Act, Probe};
use crate::wait;

/// Beside what kubectl itself waits.
const SLACK: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(120);
/// Who owns a pod, the mark of what kubelet runs from a file, its phase, and what it tolerates: a line for each, where all of it as JSON
/// can be more than is read.
const PODS: &str = concat!(
    r#"jsonpath={range .items[*]}{.metadata.ownerReferences[?(@.controller==true)].kind}{"\t"}"#,
    r#"{.metadata.annotations.kubernetes\.io/config\.mirror}{"\t"}{.status.phase}{"\t"}"#,
    r#"{range .spec.tolerations[*]}{.key}={.operator},{end}{"\n"}{end}"#
);
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable=";

/// Empties a node, as fast as budgets let its pods go: no new ones come, and what DaemonSets and files run stays. On a host that is no control
/// plane: its own node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drained {
    /// The node's name in the cluster.
    pub node: String,
    /// What kubelet is to become there, where it becomes another one: where it is that already, there is nothing to empty it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether pods go, too, that nothing starts anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Whether pods go, too, that have written into emptyDir volumes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_emptydir_data: bool,
    /// How long to wait.
    pub timeout_seconds: u32,
}

/// Lets new pods come to a node again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Uncordoned {
    /// The node's name in the cluster.
    pub node: String,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "empty node {} (at most {} s)", self.node, self.timeout_seconds)?;
        match (self.force, self.delete_emptydir_data) {
            (false, false) => Ok(()),
            (true, false) => f.write_str(", also of pods that nothing starts anew"),
            (false, true) => f.write_str(", also of pods with data in emptyDir volumes"),
            (true, true) => f.write_str(", also of pods that nothing starts anew, and of data in emptyDir volumes"),
        }
    }
}

impl fmt::Display for Uncordoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "let new pods come to node {}", self.node)
    }
}

impl Act for Drained {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(node) = ask(host, &["get", "node", &self.node])? else {
            return Ok(Probe::not_done(format!("node {} does not show", self.node)));
        };
        let kubelet = &node["status"]["nodeInfo"]["kubeletVersion"];
        if self.version.as_ref().is_some_and(|version| kubelet == version.as_str()) {
            return Ok(Probe::Done);
        }
        if !is_cordoned(&node) {
            return Ok(Probe::not_done(format!("node {} takes new pods", self.node)));
        }
        let selector = format!("--field-selector=spec.nodeName={}", self.node);
        let pods = host.run(&kubectl_here(host, ["get", "pods", "--all-namespaces", &selector, "-o", PODS])?)?;
        if pods.status != 0 {
            return Ok(Probe::not_done(format!("the pods of node {} do not show", self.node)));
        }
        let left = pods.stdout.lines().filter(|pod| !stays(pod)).count();
        Ok(if left == 0 { Probe::Done } else { Probe::not_done(format!("{left} pods are to leave {}", self.node)) })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        // Right after a control plane has become another one, its API server may be away for a moment.
        let shown = wait::until(ANSWERS, Duration::from_secs(1), || ask(host, &["get", "node", &self.node]))?;
        if shown.is_none() {
            let (what, state) =
                (format!("node {} does not show", self.node), "the API server does not answer".to_owned());
            return Err(StepError::Late { what, seconds: ANSWERS.as_secs(), state });
        }
        (context.progress)(&format!("emptying {}", self.node));
        if speaks_as_node(host)? {
            // kubectl's own drain asks for DaemonSets, which a node may not see.
            return evict_all(self, host, context);
        }
        let timeout = format!("--timeout={}s", self.timeout_seconds);
        let mut arguments = vec!["drain", self.node.as_str(), "--ignore-daemonsets", &timeout];
        arguments.extend(self.force.then_some("--force"));
        arguments.extend(self.delete_emptydir_data.then_some("--delete-emptydir-data"));
        let limit = Duration::from_secs(self.timeout_seconds.into()) + SLACK;
        unlimited_kubectl(arguments).timeout(limit).must(host)?;
        Ok(())
    }

    /// What has left does not come back by itself; the node takes new pods again.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        uncordon(host, &self.node)
    }
}

impl Act for Uncordoned {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match ask(host, &["get", "node", &self.node])? {
            None => Ok(Probe::not_done(format!("node {} does not show", self.node))),
            Some(node) if is_cordoned(&node) => Ok(Probe::not_done(format!("node {} takes no new pods", self.node))),
            Some(_) => Ok(Probe::Done),
        }
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        uncordon(host, &self.node)
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        kubectl_here(host, ["cordon", &self.node])?.must(host)?;
        Ok(())
    }
}

fn uncordon(host: &dyn Host, node: &str) -> Result<(), StepError> {
    kubectl_here(host, ["uncordon", node])?.must(host)?;
    Ok(())
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// What a drain leaves: pods of DaemonSets, pods from files, and what has ended. What tolerates a node that takes no new pods comes
/// back to it at once, and is not waited for.
pub(super) fn stays(pod: &str) -> bool {
    let mut fields = pod.split('\t');
    let [owner, mirror, phase, tolerations] = [(); 4].map(|()| fields.next().unwrap_or_default());
    let tolerates = tolerations.split(',').any(|one| one == "=Exists" || one.starts_with(UNSCHEDULABLE));
    owner == "DaemonSet" || !mirror.is_empty() || ["Succeeded", "Failed"].contains(&phase) || tolerates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_node_stays() {
        let usual = "node.kubernetes.io/not-ready=Exists,node.kubernetes.io/unreachable=Exists,";
        for pod in [
            format!("DaemonSet\t\tRunning\t{usual}"),
            "Node\t4f7a\tRunning\t=Exists,".to_owned(),
            format!("Job\t\tSucceeded\t{usual}"),
            format!("ReplicaSet\t\tRunning\t{usual}node.kubernetes.io/unschedulable=Exists,"),
            "ReplicaSet\t\tRunning\t=Exists,".to_owned(),
        ] {
            assert!(stays(&pod), "{pod}");
        }
        assert!(!stays(&format!("ReplicaSet\t\tRunning\t{usual}")) && !stays("\t\tPending\t") && !stays(""));
    }
}
