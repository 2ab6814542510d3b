//! What can go wrong with a machine by itself.

use std::io;
use std::path::PathBuf;

use sealock_node::StepError;
use sealock_node::admission::AdmissionError;
use sealock_node::facts::FactsError;
use sealock_node::fence::FenceError;
use sealock_node::host::HostError;
use sealock_node::journal::JournalError;
use sealock_node::pull::PullError;
use sealock_node::runner::RunError;
use sealock_store::StoreError;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use sealock_trust::site::SiteRootError;

use super::join_file::JoinFileError;
use super::upgrade::UpgradeError;
use crate::etcd::EtcdError;
use crate::etcd::quorum::Refusal;
use crate::nodes::NodeError;
use crate::plan::PlanError;
use crate::release::NotInRelease;
use crate::spec::SpecError;

/// Why a machine could not be planned for, or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The machine refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The machine could not be looked at.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The fence refused.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step failed.
    #[error(transparent)]
    Run(#[from] Box<RunError>),
    /// Something could not be fetched.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The store or the release refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The release lacks something.
    #[error("the release cannot prepare this machine")]
    NotInRelease(#[from] NotInRelease),
    /// No upgrade.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// Pods would be lost by emptying the node; it is no node of its cluster.
    #[error(transparent)]
    Node(#[from] Box<NodeError>),
    /// A step outside of a run.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The site root is not one.
    #[error("the site root is not valid")]
    SiteRoot(#[from] SiteRootError),
    /// The machine believes another site.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The site root is not the one that was named.
    #[error("the site root is {found}, and {named} was named")]
    OtherSiteRoot {
        /// What was named.
        named: Digest,
        /// What it is.
        found: Digest,
    },
    /// Nothing says that the site root is the site's own.
    #[error("this machine knows no site yet, and nothing says that the site root, {found}, is that of site {site}")]
    UnnamedSiteRoot {
        /// The site that it is about.
        site: String,
        /// What it is.
        found: Digest,
    },
    /// etcd refused, or did not answer.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The cluster's etcd takes no further member as it is.
    #[error("the etcd of the cluster takes no further member now")]
    NoNewcomer(#[source] Refusal),
    /// The overrides are none.
    #[error("{} holds no overrides", path.display())]
    Overrides {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: SpecError,
    },
    /// Nothing says which release is meant.
    #[error("the store in {} has no current release", .0.display())]
    NoRelease(PathBuf),
    /// A station drives the machine.
    #[error("this machine belongs to cluster {cluster}, which is driven from a station")]
    Driven {
        /// The cluster.
        cluster: String,
    },
    /// Kubernetes or a container runtime that Sealock did not bring.
    #[error("this machine already has a cluster or a container runtime: {}", .evidence.join(", "))]
    Foreign {
        /// What was found.
        evidence: Vec<String>,
    },
    /// Something stands in the way.
    #[error("something stands in the way that Sealock did not make: {}", .found.join("; "))]
    InTheWay {
        /// What was found.
        found: Vec<String>,
    },
    /// The machine is a node by another configuration.
    #[error("this machine was made a node in another way: {}", .found.join("; "))]
    MadeOtherwise {
        /// What was found.
        found: Vec<String>,
    },
    /// The machine is a node with another version.
    #[error("this machine is a node that runs Kubernetes {found}, and {wanted} was asked for")]
    OtherVersion {
        /// What it runs.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// An etcd of its own is on the machine.
    #[error("this machine runs member {member} of an etcd that `sealock etcd` set up")]
    OwnEtcd {
        /// The member's name.
        member: String,
    },
    /// The etcd member of the control plane here cannot be asked.
    #[error("whether others count on the etcd member of this machine cannot be told")]
    MemberUnknown(#[source] Box<EtcdError>),
    /// What a reset wrote down cannot be taken away.
    #[error("what an earlier reset wrote down cannot be taken away")]
    Forgetting(#[source] StepError),
    /// Which member is on this machine is not known.
    #[error("which etcd member is on this machine cannot be told: {0}")]
    MemberNotFound(String),
    /// The machine was not prepared for this.
    #[error("this machine is not prepared for it: {lacks}")]
    NotPrepared {
        /// What it lacks.
        lacks: String,
    },
    /// The machine was prepared for another version than its cluster has.
    #[error("this machine is prepared for Kubernetes {found}, and the cluster runs {wanted}")]
    PreparedForOther {
        /// What it is prepared for.
        found: String,
        /// What the cluster runs.
        wanted: String,
    },
    /// It is a node already, and came to it in another way.
    #[error("this machine is a node of a cluster already")]
    AlreadyNode,
    /// An authority is there, and no cluster was begun here.
    #[error("an authority lies in {path} that `sealock node init` has not made")]
    OtherAuthority {
        /// Its file.
        path: &'static str,
    },
    /// The authority on the machine is not that of the join file.
    #[error(
        "this machine is in a cluster that is known by {found}, and the join file is for the one that is known by {wanted}"
    )]
    OtherCluster {
        /// What is here.
        found: String,
        /// What the file says.
        wanted: String,
    },
    /// Nobody here speaks for a cluster.
    #[error("no complete control plane that `sealock node` has set up is on this machine")]
    NoPlane,
    /// Further control planes would not be reached without the first one.
    #[error("the cluster is reached at {endpoint}, which is this machine's own address")]
    OwnEndpoint {
        /// The endpoint.
        endpoint: String,
    },
    /// The file by which a machine joins.
    #[error("the join file is refused")]
    JoinFile(#[from] JoinFileError),
    /// What was asked for makes no sense.
    #[error("{}: {}", flag(.0), .0.problem)]
    Terms(#[from] SpecError),
    /// A program says no.
    #[error("{program} refuses: {said}")]
    Refused {
        /// Which.
        program: String,
        /// What it says.
        said: String,
    },
    /// kubeadm says no.
    #[error("kubeadm does not say which images it needs: {said}")]
    Kubeadm {
        /// What it says.
        said: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A plan or a join file cannot be written.
    #[error("this cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl MachineError {
    /// Whether trying the same again cannot help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Node(error) if error.is_refusal()) || self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Run(error) => error.code(),
            Self::Fence(error) => error.code(),
            Self::Pull(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Plan(error) => error.code(),
            Self::Upgrade(error) => Some(error.code()),
            Self::Node(error) => error.code(),
            Self::Step(error) => error.code(),
            Self::Etcd(error) => error.code(),
            Self::NoNewcomer(_) => Some(Code::Quorum),
            Self::SiteRoot(error) => error.code().or(Some(Code::Format)),
            Self::Admission(error) => error.code(),
            Self::OtherSiteRoot { .. } | Self::UnnamedSiteRoot { .. } => Some(Code::NotEnrolled),
            Self::NotInRelease(_) => Some(Code::NotInRelease),
            Self::Driven { .. } | Self::Foreign { .. } | Self::InTheWay { .. } | Self::OwnEtcd { .. } => {
                Some(Code::Foreign)
            }
            // What a blob's reader says when the content is not what its digest promised.
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => Some(Code::Digest),
            Self::AlreadyNode
            | Self::OtherAuthority { .. }
            | Self::OtherCluster { .. }
            | Self::MadeOtherwise { .. } => Some(Code::Foreign),
            Self::NotPrepared { .. } | Self::NoPlane => Some(Code::Preflight),
            Self::OtherVersion { .. }
            | Self::PreparedForOther { .. }
            | Self::OwnEndpoint { .. }
            | Self::Terms(_)
            | Self::Overrides { .. } => Some(Code::Spec),
            Self::JoinFile(error) => Some(error.code()),
            _ => None,
        }
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::MemberUnknown(_) | Self::Refused { .. } => true,
            Self::Etcd(error) => error.can_retry(),
            Self::Node(error) => error.is_retryable(),
            Self::Pull(error) => matches!(error, PullError::Unreachable { .. } | PullError::Broken { .. }),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Upgrade(error) => error.hint().map(str::to_owned),
            Self::Node(error) => error.hint(),
            Self::Step(error) => error.hint().map(str::to_owned),
            Self::Run(error) => error.hint().map(str::to_owned),
            Self::Pull(error) => error.hint().map(str::to_owned),
            Self::Etcd(error) => error.hint().map(str::to_owned),
            Self::NoNewcomer(Refusal::NameTaken { .. }) => Some(
                "Remove the member that has the name from etcd where its machine is gone, or give this one another name: --node-name."
                    .to_owned(),
            ),
            Self::NoNewcomer(refusal) => Some(refusal.hint().to_owned()),
            own => own.own_hint().map(str::to_owned),
        }
    }

    fn own_hint(&self) -> Option<&'static str> {
        match self {
            Self::UnnamedSiteRoot { .. } | Self::OtherSiteRoot { .. } => Some(
                "`sealock site show` at the station prints the digest of the site root. Bring it on paper, not on what the site root came on, and name it: --site-root-digest sha256:….",
            ),
            Self::NoRelease(_) => Some("Name the release's file: --release releases/N.json of the store."),
            Self::Driven { .. } => Some(
                "At the station: `sealock cluster remove HOST` takes one host out of its cluster, `sealock cluster reset` ends the cluster.",
            ),
            Self::Foreign { .. } => Some(
                "Sealock takes over no machine that it did not prepare: remove what is there by the means that brought it.",
            ),
            Self::Overrides { .. } => {
                Some("It holds the fields that stand below `overrides` in a cluster spec, like `containerd`.")
            }
            Self::InTheWay { .. } => Some("Move it away, and run the command again: it is never overwritten."),
            Self::OtherVersion { .. } => Some(
                "A node goes to another version by `sealock node upgrade`; only a machine that is none yet is prepared with it.",
            ),
            Self::NotPrepared { .. } => Some(
                "`sealock node prepare --kubernetes VERSION` first, with --control-plane where one is to run here.",
            ),
            Self::PreparedForOther { .. } => Some("`sealock node prepare` with the cluster's version, and join then."),
            Self::OtherCluster { .. } => Some(
                "Run it with a join file of the cluster that it is in; or take it out of that one first: `sealock node reset`.",
            ),
            Self::AlreadyNode => Some("`sealock node reset` takes it out of its cluster."),
            Self::OtherAuthority { .. } => Some(
                "Where a join was cut off here, `sealock node reset` takes back what it left. Where you have laid it there, move /etc/kubernetes/pki away first, for a reset deletes it: `sealock node init` makes authorities of its own.",
            ),
            Self::MadeOtherwise { .. } => Some(
                "Run it with the flags that the machine was made a node with; or reset it first: `sealock node reset`.",
            ),
            Self::NoPlane => Some("Run it on a control plane, when `sealock node init` is through there."),
            Self::OwnEndpoint { .. } => Some(
                "Without this machine nobody would reach the other control planes: a cluster of several begins with an endpoint that is none's own, like a name or the address of a load balancer (--control-plane-endpoint).",
            ),
            Self::JoinFile(JoinFileError::ForWorkers) => {
                Some("On a control plane: `sealock node invite --control-plane --join-file FILE`.")
            }
            Self::JoinFile(JoinFileError::OtherHash { .. }) => Some(
                "Compare with what `sealock node invite` showed on the control plane. Where it is not the same, the file is another cluster's, or was changed on its way.",
            ),
            Self::JoinFile(_) => Some("On a control plane: `sealock node invite --join-file FILE` makes another one."),
            Self::OwnEtcd { .. } => Some("`sealock etcd reset` takes it away first; its data stays aside."),
            Self::MemberNotFound(_) => Some(
                "Look with `etcdctl member list` on another control plane. Where nobody counts on the member any more: --skip-etcd-member.",
            ),
            Self::MemberUnknown(_) => Some(
                "Start kubelet and containerd, so that etcd answers. Where its cluster is lost, or has removed the member: --skip-etcd-member.",
            ),
            _ => None,
        }
    }
}

/// The flag that a person gave, in the place of the field that a cluster spec has for it.
fn flag(error: &SpecError) -> &str {
    match error.place.as_str() {
        "spec.network.pods" | "spec.network.nodePrefix" => "--pod-network-cidr",
        "spec.network.services" => "--service-cidr",
        place => place,
    }
}

impl From<Refusal> for MachineError {
    fn from(refusal: Refusal) -> Self {
        Self::Etcd(refusal.into())
    }
}

impl From<NodeError> for MachineError {
    fn from(error: NodeError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<RunError> for MachineError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}
