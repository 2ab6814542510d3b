//! Why a lost member of etcd is not brought back.

use sealock_trust::reason::Code;

/// Why the member of a control plane does not come back from the others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The host has no member of etcd that could come back.
    #[error("host {host} is no control plane of the cluster")]
    NoPlane {
        /// The host.
        host: String,
    },
    /// Nobody's member is on a control plane.
    #[error("etcd of cluster {cluster} is somebody else's (spec.etcd.external), and no member of it is on host {host}")]
    External {
        /// The cluster.
        cluster: String,
        /// The host.
        host: String,
    },
    /// There is nobody from whom a member would get the data.
    #[error("host {host} is the only control plane of the cluster")]
    Only {
        /// The host.
        host: String,
    },
    /// No majority of etcd is up.
    #[error("no other control plane speaks for a majority of etcd")]
    NoMajority,
    /// etcd takes one learner at a time.
    #[error("{member} has no vote in etcd yet, and no other member comes before it has")]
    Learner {
        /// Which one.
        member: String,
    },
    /// All serve, and hold different things: which of them is right, is not told by any one of them.
    #[error("the member of etcd on host {host} serves, and the members do not hold the same: {said}")]
    Differ {
        /// The host.
        host: String,
        /// What was compared.
        said: String,
    },
    /// One that was begun, and is not finished: without its member a host is no control plane to go on with.
    #[error("bringing the member of etcd on host {host} back was begun and is not finished yet")]
    Open {
        /// The host.
        host: String,
    },
}

impl MemberError {
    /// The reason code; nothing where trying again may help.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NoPlane { .. } | Self::External { .. } | Self::Differ { .. } => Some(Code::Spec),
            Self::Only { .. } | Self::NoMajority | Self::Learner { .. } => Some(Code::Quorum),
            Self::Open { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoPlane { .. } => {
                "name a control plane of the spec; one that is to be new joins by `sealock cluster apply`".into()
            }
            Self::External { .. } => {
                "bring that etcd's member back by its own means (`sealock etcd join`); Sealock changes nothing of an external etcd from here".into()
            }
            Self::Only { .. } | Self::NoMajority => {
                "without a majority there is nobody who has what was written last: bring members back that are down, or make the cluster again from a backup, `sealock cluster restore BACKUP`, which loses what was written since".into()
            }
            Self::Learner { .. } => {
                "bring that one back first: `sealock cluster restore --member` with its host, or `sealock cluster apply` where it is joining".into()
            }
            Self::Differ { host, .. } => format!(
                "`sealock etcd status --hash` on a control plane says who holds what. Where it is {host} that differs from the others, say --force"
            ),
            Self::Open { host } => format!(
                "finish it: `sealock cluster restore --member {host}`; where the machine is gone for good, `sealock cluster remove {host} --lost`"
            ),
        }
    }
}
