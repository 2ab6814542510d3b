//! What can go wrong with etcd.

use std::io;
use std::path::PathBuf;

use sealock_trust::reason::Code;
use tonic::Code as Grpc;

use super::endpoint::Endpoint;
use super::member::{Member, MemberId};
use super::quorum::Refusal;
use super::snapshot::SnapshotFault;
use crate::causes::in_one_line;

/// What an error of one call says about the change that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// etcd answered that it does not do it. After a retry even this may be said of what was done before.
    Refused,
    /// It may have happened, may happen still, or not.
    Unknown,
}

/// One call to one endpoint that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call} at {endpoint}: {said}")]
pub struct CallError {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// What was asked for, in words.
    pub call: &'static str,
    /// What gRPC or etcd says.
    pub said: String,
    code: Grpc,
}

impl CallError {
    pub(super) fn new(endpoint: &Endpoint, call: &'static str, status: &tonic::Status) -> Self {
        Self { endpoint: endpoint.clone(), call, said: words(status), code: status.code() }
    }

    pub(super) fn late(endpoint: &Endpoint, call: &'static str, seconds: u64) -> Self {
        let said = format!("no answer within {seconds} s");
        Self { endpoint: endpoint.clone(), call, said, code: Grpc::DeadlineExceeded }
    }

    /// Whether etcd answered, and said that this client may not.
    pub(super) fn is_denied(&self) -> bool {
        self.code == Grpc::PermissionDenied
    }

    pub(super) fn malformed(endpoint: &Endpoint, call: &'static str, said: &str) -> Self {
        Self { endpoint: endpoint.clone(), call, said: said.into(), code: Grpc::DataLoss }
    }

    /// What it says about a change.
    pub fn outcome(&self) -> Outcome {
        match self.code {
            Grpc::InvalidArgument
            | Grpc::NotFound
            | Grpc::FailedPrecondition
            | Grpc::ResourceExhausted
            | Grpc::PermissionDenied
            | Grpc::Unauthenticated
            | Grpc::Unimplemented
            | Grpc::OutOfRange
            | Grpc::AlreadyExists => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }

    /// Whether trying again may help.
    pub fn can_retry(&self) -> bool {
        self.outcome() == Outcome::Unknown && self.code != Grpc::DataLoss
    }

    /// Whether etcd said exactly that the learner is not yet where the leader is.
    pub(super) fn is_learner_behind(&self) -> bool {
        self.said.contains("in sync with leader")
    }
}

/// What a status says, and below it what caused it: tonic hides the operating system's word in its sources.
fn words(status: &tonic::Status) -> String {
    let said = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    in_one_line(said, status)
}

/// Why something with etcd did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// Text that is no endpoint.
    #[error("{text:?} is no endpoint: {problem}")]
    Endpoint {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Certificates or keys that cannot be used.
    #[error("the client certificate cannot be used for {endpoint}")]
    Credentials {
        /// For which endpoint.
        endpoint: Endpoint,
        /// What TLS says.
        source: tonic::transport::Error,
    },
    /// A call that only reads failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No endpoint answered.
    #[error("no member answers: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Silent(Vec<CallError>),
    /// Two endpoints belong to different clusters.
    #[error("{first} and {second} belong to different clusters")]
    TwoClusters {
        /// One of them.
        first: Endpoint,
        /// The other.
        second: Endpoint,
    },
    /// A change that would lose quorum, or that the state of the cluster does not allow.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The cluster was read again, and the change is not there.
    #[error("{what} did not happen")]
    NotDone {
        /// What was asked for.
        what: String,
        /// What etcd said to it.
        source: CallError,
    },
    /// The change may have happened: the cluster could not be read again.
    #[error("whether {what} happened is not known: the cluster could not be read again")]
    Unknown {
        /// What was asked for.
        what: String,
        /// What was said last.
        source: CallError,
    },
    /// A member that is not there.
    #[error("the cluster has no member {0}")]
    NoMember(String),
    /// A version that the cluster cannot go back to.
    #[error("the cluster cannot go back to etcd {target}: {problem}")]
    NoWayBack {
        /// The minor version, like `3.5`.
        target: String,
        /// Why not.
        problem: String,
    },
    /// There is no leader to work with.
    #[error("the cluster has no leader")]
    NoLeader,
    /// A learner that does not come up to the leader.
    #[error("learner {learner} is not caught up after {seconds} s: {state}")]
    Behind {
        /// Which.
        learner: Box<Member>,
        /// How long was waited.
        seconds: u64,
        /// What was seen last.
        state: String,
    },
    /// Something that was waited for.
    #[error("{what} after {seconds} s: {state}")]
    Late {
        /// What did not happen.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// What was seen last.
        state: String,
    },
    /// Members hold different data.
    #[error("the members' data differ at revision {revision}: {hashes}")]
    Differ {
        /// Where they were compared.
        revision: i64,
        /// Member and hash, each.
        hashes: String,
    },
    /// A snapshot that is not whole.
    #[error("{path} is no good snapshot", path = .path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SnapshotFault,
    },
    /// A snapshot that could not be had from any member.
    #[error("no member gave a whole snapshot in {tries} tries")]
    NoSnapshot {
        /// How often it was tried.
        tries: usize,
        /// What went wrong last.
        source: Box<EtcdError>,
    },
    /// etcd's own program failed.
    #[error("`{program}` failed: {said}")]
    Program {
        /// Which.
        program: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A rehearsed restore that does not hold what the snapshot says.
    #[error("the rehearsed restore {problem}")]
    Rehearsal {
        /// What differs.
        problem: String,
    },
    /// A cluster that changed since it was planned for.
    #[error("the cluster is not what the plan was made for: {0}")]
    Stale(String),
    /// The member may not be itself.
    #[error("member {id} at {endpoint} is not {wanted}, which was meant")]
    OtherMember {
        /// Who answered.
        id: MemberId,
        /// Where.
        endpoint: Endpoint,
        /// Who was meant.
        wanted: MemberId,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] sealock_node::certificates::CertificateError),
}

impl EtcdError {
    /// Whether trying the same again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Endpoint { .. } => Some(Code::Spec),
            Self::Refused(_) => Some(Code::Quorum),
            Self::NoMember(_) | Self::NoWayBack { .. } => Some(Code::Spec),
            Self::TwoClusters { .. } | Self::OtherMember { .. } => Some(Code::Foreign),
            Self::Stale(_) => Some(Code::StalePlan),
            Self::Differ { .. } | Self::Rehearsal { .. } => Some(Code::Digest),
            Self::Snapshot { source, .. } => Some(source.code()),
            Self::NoSnapshot { source, .. } => source.code(),
            _ => None,
        }
    }

    /// Whether trying again may help.
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Call(error) | Self::NotDone { source: error, .. } => error.can_retry(),
            Self::Silent(_) | Self::Unknown { .. } | Self::NoLeader | Self::Behind { .. } | Self::Late { .. } => true,
            Self::NoSnapshot { source, .. } => source.can_retry(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unknown { .. } => {
                "Run the same command again once the cluster answers: it looks first, and does only what is missing."
            }
            Self::Silent(_) => {
                "Is etcd running, and is it reached at these addresses with these certificates? `sealock etcd info` shows both."
            }
            Self::NoLeader => {
                "Too few members are up to elect one. Start those that are down, or restore a snapshot: `sealock etcd restore`."
            }
            Self::Behind { .. } => {
                "The learner stays, without a vote. Look at its log; the same command goes on when it has caught up."
            }
            Self::Refused(refusal) => refusal.hint(),
            Self::Differ { .. } => {
                "Do not go on writing. Find the member that is alone with its hash, remove it, and let it join again."
            }
            Self::Snapshot { .. } | Self::NoSnapshot { .. } => "Take it again, from another member or another copy.",
            Self::Rehearsal { .. } => "Nothing was touched. Use another snapshot.",
            Self::NoMember(_) => "`sealock etcd status` lists the members by name and id.",
            Self::NoWayBack { .. } => {
                "etcd goes back by one minor version, from 3.6 on. For any other way restore a snapshot of that time: `sealock etcd restore`."
            }
            Self::Stale(_) => "Run the command again: it plans anew.",
            _ => return None,
        })
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
