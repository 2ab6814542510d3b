//! What can go wrong with a member on one machine.

use sealock_node::changes::ChangesError;
use sealock_node::fence::FenceError;
use sealock_node::host::HostError;
use sealock_node::journal::JournalError;
use sealock_node::runner::RunError;
use sealock_trust::reason::Code;

use crate::etcd::EtcdError;

/// Why a member on this machine could not be planned for, or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The machine refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The record of changes refused.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The fence refused.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step failed.
    #[error(transparent)]
    Run(#[from] Box<RunError>),
    /// The cluster refused, or did not answer.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// etcd's configuration cannot be read or written.
    #[error("{path} is no configuration of a member that Sealock can read: {problem}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no member on this machine.
    #[error("there is no member on this machine: {0} is not there")]
    NoMember(String),
    /// There is one already.
    #[error("this machine runs member {found}, and {wanted} was asked for")]
    OtherMember {
        /// Its name.
        found: String,
        /// The name that was asked for.
        wanted: String,
    },
    /// Data that nobody asked to give up.
    #[error("{path} holds data {whose}")]
    DataInTheWay {
        /// The data directory.
        path: String,
        /// What is known about it.
        whose: &'static str,
    },
    /// A member of the cluster is listed at this address, and its data is gone.
    #[error("the cluster lists {member} at {peer_url}, which has run, and this machine has no data of it")]
    Ghost {
        /// The member.
        member: String,
        /// Its peer URL, which is this machine's.
        peer_url: String,
    },
    /// No certificates to speak to the cluster with.
    #[error("there is no certificate to speak to the cluster with: {missing} is not there")]
    NoCredentials {
        /// The first file that is missing.
        missing: String,
    },
    /// The plan cannot be written.
    #[error("the plan cannot be written")]
    Unwritable(#[source] serde_json::Error),
}

impl MachineError {
    /// Whether trying the same again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Run(error) => error.code(),
            Self::Etcd(error) => error.code(),
            Self::Fence(error) => error.code(),
            Self::Config { .. } => Some(Code::Format),
            Self::OtherMember { .. } | Self::DataInTheWay { .. } => Some(Code::Foreign),
            Self::Ghost { .. } => Some(Code::Quorum),
            _ => None,
        }
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Etcd(error) if error.can_retry())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Etcd(error) => error.hint(),
            Self::NoMember(_) => Some(
                "`sealock etcd init` begins a cluster, `sealock etcd join` joins one; --etcd-config names another file.",
            ),
            Self::OtherMember { .. } => {
                Some("One machine runs one member. `sealock etcd reset` takes the other one away.")
            }
            Self::DataInTheWay { .. } => Some(
                "If it is not needed, say --set-data-aside: it is moved, with the date in its name, and never deleted.",
            ),
            Self::Ghost { .. } => {
                Some("Remove that member first: `sealock etcd remove` on a machine that runs another.")
            }
            Self::NoCredentials { .. } => Some(
                "Copy `ca.crt` and `ca.key` from a machine of the cluster into --certs-dir, or name a client certificate: --cacert, --cert, --key.",
            ),
            _ => None,
        }
    }
}

impl From<RunError> for MachineError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}
