//! Why a node is not as somebody wanted it.

use sealock_trust::reason::Code;

use super::{Held, PodName};
use crate::programs::ProgramError;
use crate::tools::ToolError;

/// Why a node is not as somebody wanted it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The cluster has no such node.
    #[error("cluster {cluster} has no node {node}")]
    NotANode {
        /// What was asked for.
        node: String,
        /// Where.
        cluster: String,
    },
    /// Pods that would not come back, or would lose what they wrote.
    #[error("node {node} has pods that are lost by an eviction, or lose data by it; nothing was changed:{}", lines(.pods))]
    Held {
        /// The node.
        node: String,
        /// The pods.
        pods: Vec<Held>,
    },
    /// Pods are still there.
    #[error("node {node} is not empty after {seconds} s, and stays cordoned:{}", left(.pods))]
    NotEmpty {
        /// The node.
        node: String,
        /// How long was waited.
        seconds: u64,
        /// Its pods, and what they wait for.
        pods: Vec<(PodName, String)>,
    },
    /// What the cluster said is not understood.
    #[error("what `kubectl get {kinds}` says is not understood")]
    Answer {
        /// What was asked for.
        kinds: String,
        /// Why.
        source: serde_json::Error,
    },
    /// kubectl did not do its work.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The release's kubectl cannot be used.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl NodeError {
    /// Its reason code, where it has one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Tool(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the same call would be refused again.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Held { .. }) || self.code().is_some()
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotEmpty { .. } | Self::Program(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotANode { .. } => "`sealock cluster status` lists the nodes".into(),
            Self::Held { pods, .. } => {
                let (mut force, mut data) = (false, false);
                for reason in pods.iter().flat_map(|held| &held.reasons) {
                    match reason {
                        super::Reason::NoController => force = true,
                        super::Reason::LocalData(_) => data = true,
                    }
                }
                let flags = [force.then_some("--force"), data.then_some("--delete-emptydir-data")];
                let flags: Vec<&str> = flags.into_iter().flatten().collect();
                format!("where that may be, say so by {}", flags.join(" and "))
            }
            Self::NotEmpty { .. } => {
                "run it again to go on waiting, or `sealock cluster uncordon` to give the node back; a budget that never lets \
                 a pod go wants more replicas"
                    .into()
            }
            _ => return None,
        })
    }
}

fn lines(pods: &[Held]) -> String {
    pods.iter().map(|held| format!("\n  {held}")).collect()
}

fn left(pods: &[(PodName, String)]) -> String {
    pods.iter().map(|(pod, why)| format!("\n  {pod}: {why}")).collect()
}
