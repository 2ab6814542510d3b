//! Why something could not be done with a cluster.

use std::io;
use std::path::PathBuf;

use sealock_trust::json;
use sealock_trust::reason::Code;

use crate::backup::BackupError;
use crate::execute::ExecuteError;
use crate::journal::JournalError;
use crate::nodes::NodeError;
use crate::plan::PlanError;
use crate::tools::ToolError;

/// Why something could not be done with a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no plan, or it must not be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A host.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A program of the release.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A node cannot be emptied, or the cluster does not say.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A backup that cannot be made, or is not believed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A set of OS packages in the release cannot be read.
    #[error(transparent)]
    OsPackages(#[from] sealock_bundle::os_packages::OsPackagesError),
    /// The journal of the plan.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A plan that cannot be written canonically.
    #[error("the plan cannot be written")]
    Unwritable(#[source] json::Error),
    /// Nobody confirms that a host's member is out of etcd.
    #[error("{host} may still be a member of etcd: its data is not touched")]
    StillMember {
        /// The host.
        host: String,
    },
    /// There is no cluster yet.
    #[error("no cluster has been made from {folder} yet", folder = .folder.display())]
    NoCluster {
        /// The cluster's folder at the station.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OperatorError {
    /// Whether a step failed on a host that answers: what stands there can be looked at, and put back. Where another operator has taken
    /// over, it is for him to say what becomes of it.
    pub fn is_of_a_step(&self) -> bool {
        matches!(self, Self::Execute(ExecuteError::Step { .. })) && self.code() != Some(Code::StalePlan)
    }

    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Plan(error) => error.code(),
            Self::Execute(error) => error.code(),
            Self::Tool(error) => error.code(),
            Self::Node(error) => error.code(),
            Self::Backup(error) => error.code(),
            Self::OsPackages(error) => error.code(),
            Self::Journal(JournalError::File(sealock_node::journal::JournalError::Damaged { .. })) => {
                Some(Code::Format)
            }
            _ => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some() || matches!(self, Self::Node(error) if error.is_refusal())
    }

    /// Whether trying again may help, perhaps after the environment was seen to.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Execute(error) => error.is_retryable(),
            Self::Node(error) => error.is_retryable(),
            Self::OsPackages(error) => error.is_environment(),
            Self::Journal(JournalError::Busy { .. } | JournalError::Lock { .. }) | Self::Io { .. } => true,
            Self::StillMember { .. } => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Execute(error) => error.hint(),
            Self::Node(error) => error.hint(),
            Self::Backup(error) => error.hint(),
            Self::Tool(ToolError::NotInRelease(_)) => {
                Some("import a bundle that carries it: `kubernetes.versions` in sealock.yaml brings all of it".into())
            }
            Self::StillMember { .. } => Some("run the same again once `sealock etcd status` shows a majority".into()),
            Self::NoCluster { .. } => Some("run `sealock cluster apply` first".into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sealock_node::request::Failure;

    use super::*;

    fn failed(code: Option<Code>) -> OperatorError {
        let code = code.map(|code| code.to_string());
        let failure =
            Failure { message: "it does not start".into(), causes: Vec::new(), hint: None, code, retryable: true };
        let (host, step) = ("w1".into(), "containerd/unit".into());
        OperatorError::Execute(ExecuteError::Step { host, step, failure: Box::new(failure) })
    }

    #[test]
    fn a_node_that_another_operator_has_taken_over_is_not_put_back() {
        assert!(failed(None).is_of_a_step() && failed(Some(Code::Digest)).is_of_a_step());
        assert!(!failed(Some(Code::StalePlan)).is_of_a_step());
        assert!(!OperatorError::Plan(PlanError::ComponentsOpen).is_of_a_step());
    }
}
