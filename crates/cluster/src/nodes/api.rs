//! What is asked of the API server, through the release's kubectl.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::NodeError;
use super::draining::Leaving;
use crate::apps::Target;
use crate::programs::{ProgramError, Surroundings};
use crate::release::Program;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(60);

/// The API server of a cluster, as its administrator.
pub(super) struct Api<'a> {
    cluster: &'a str,
    kubectl: PathBuf,
    surroundings: Surroundings,
}

/// What became of an eviction.
pub(super) enum Evicted {
    /// The pod is ending.
    Ending,
    /// It is gone already.
    Gone,
    /// A PodDisruptionBudget does not let it go now.
    Kept(String),
}

impl<'a> Api<'a> {
    pub(super) fn open(target: &Target<'a>) -> Result<Self, NodeError> {
        let kubectl = target.toolbox.program(Program::Kubectl, Some(target.kubernetes))?;
        let surroundings = Surroundings::new(target.toolbox.folder(), target.kubeconfig)?;
        Ok(Self { cluster: target.cluster, kubectl, surroundings })
    }

    /// `kubectl cordon NODE`, or uncordon.
    pub(super) async fn mark(&self, node: &str, verb: &str) -> Result<(), NodeError> {
        let marked = self.call(&[verb, node], b"").await;
        marked.map(drop).map_err(|error| self.unknown_node(node, error))
    }

    /// The pods on `node`, in all namespaces.
    pub(super) async fn pods(&self, node: &str) -> Result<Vec<Value>, NodeError> {
        let selector = format!("spec.nodeName={node}");
        self.list("pods", &["--all-namespaces", "--field-selector", &selector]).await
    }

    /// Whether there is such a node.
    pub(super) async fn find(&self, node: &str) -> Result<(), NodeError> {
        let found = self.call(&["get", "node", node, "--output", "name"], b"").await;
        found.map(drop).map_err(|error| self.unknown_node(node, error))
    }

    /// Whether the node takes no new pods.
    pub(super) async fn is_cordoned(&self, node: &str) -> Result<bool, NodeError> {
        let asked = ["get", "node", node, "--output", "jsonpath={.spec.unschedulable}"];
        let said = self.call(&asked, b"").await.map_err(|error| self.unknown_node(node, error))?;
        Ok(said.trim_ascii() == b"true")
    }

    /// Asks for the eviction of this very pod (policy/v1, Eviction).
    pub(super) async fn evict(&self, leaving: &Leaving) -> Result<Evicted, NodeError> {
        let pod = &leaving.pod;
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": pod.namespace, "name": pod.name},
            "deleteOptions": {"preconditions": {"uid": leaving.uid}},
        });
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", pod.namespace, pod.name);
        let asked = self.call(&["create", "--raw", &path, "--filename", "-"], eviction.to_string().as_bytes()).await;
        match asked {
            Ok(_) => Ok(Evicted::Ending),
            Err(ProgramError::Failed { said, .. }) if said.contains("(TooManyRequests)") => {
                Ok(Evicted::Kept(without_prefix(&said)))
            }
            // The precondition: a later pod of this name is another one.
            Err(ProgramError::Failed { said, .. }) if said.contains("(NotFound)") || said.contains("(Conflict)") => {
                Ok(Evicted::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The budgets that let nothing go now, as `NAMESPACE` and a sentence.
    pub(super) async fn tight_budgets(&self) -> Result<Vec<(String, String)>, NodeError> {
        let budgets = self.list("poddisruptionbudgets", &["--all-namespaces"]).await?;
        let is_tight = |budget: &&Value| budget["status"]["disruptionsAllowed"] == 0;
        let told = |budget: &Value| {
            let text = |pointer: &str| budget.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
            let name = text("/metadata/name").escape_debug().to_string();
            let healthy = number("/status/currentHealthy");
            let wanted = number("/status/desiredHealthy");
            (text("/metadata/namespace"), format!("budget {name} wants {wanted} healthy, and {healthy} are"))
        };
        Ok(budgets.iter().filter(is_tight).map(told).collect())
    }

    /// The objects of `kinds`, with `more` said to `kubectl get`.
    pub(super) async fn list(&self, kinds: &str, more: &[&str]) -> Result<Vec<Value>, NodeError> {
        let arguments = [&["get", kinds, "--output", "json"], more].concat();
        let answer = self.call(&arguments, b"").await?;
        let answer: Result<Value, _> = serde_json::from_slice(&answer);
        let answer = answer.map_err(|source| NodeError::Answer { kinds: kinds.to_owned(), source })?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    async fn call(&self, arguments: &[&str], stdin: &[u8]) -> Result<Vec<u8>, ProgramError> {
        self.surroundings.run(&self.kubectl, arguments, stdin, CALL).await
    }

    fn unknown_node(&self, node: &str, error: ProgramError) -> NodeError {
        match error {
            ProgramError::Failed { said, .. } if said.contains("(NotFound)") => {
                NodeError::NotANode { node: node.to_owned(), cluster: self.cluster.to_owned() }
            }
            other => other.into(),
        }
    }
}

/// `Error from server (TooManyRequests): Cannot evict …`, without what is in front of the sentence.
fn without_prefix(said: &str) -> String {
    said.split_once("): ").map_or(said, |(_, sentence)| sentence).to_owned()
}
