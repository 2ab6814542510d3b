//! Why a machine by itself is not upgraded.

use sealock_trust::format::UnknownFormat;
use sealock_trust::json;
use sealock_trust::reason::Code;

use super::plan::Goal;

/// Why a machine by itself is not upgraded, or does not go back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Nothing is here that could be upgraded.
    #[error("no complete node that `sealock node` has set up is on this machine")]
    NoNode,
    /// It is newer already.
    #[error("this machine runs Kubernetes {runs}, and {wanted} was asked for")]
    Older {
        /// What it runs.
        runs: String,
        /// What was asked for.
        wanted: String,
    },
    /// Minor versions are taken one after the other.
    #[error("from Kubernetes {from} to {wanted} a minor version would be passed over")]
    Skips {
        /// What it runs.
        from: String,
        /// What was asked for.
        wanted: String,
    },
    /// Another upgrade has changed something.
    #[error("an upgrade to {begun} was begun on this machine, and is not finished")]
    Other {
        /// Where it leads.
        begun: Goal,
    },
    /// The cluster is newer.
    #[error("the cluster runs Kubernetes {runs}, and {wanted} was asked for")]
    ClusterNewer {
        /// What it runs.
        runs: String,
        /// What was asked for.
        wanted: String,
    },
    /// A kubelet is never newer than an API server.
    #[error("not every control plane runs Kubernetes {wanted} yet: {found}")]
    PlanesFirst {
        /// What was asked for.
        wanted: String,
        /// What tells.
        found: String,
    },
    /// API servers are at most one minor version apart.
    #[error(
        "the control plane on {node} runs Kubernetes {runs}: it would be more than one minor version behind {wanted}"
    )]
    PlaneBehind {
        /// Where.
        node: String,
        /// What it runs.
        runs: String,
        /// What was asked for.
        wanted: String,
    },
    /// A kubelet is at most three minor versions behind.
    #[error(
        "kubelet on {node} is {runs}: an API server of {wanted} speaks to kubelets of three minor versions before it, and no older ones"
    )]
    KubeletBehind {
        /// Where.
        node: String,
        /// What it runs.
        runs: String,
        /// What was asked for.
        wanted: String,
    },
    /// etcd is not new enough to be replaced by the next minor version.
    #[error("etcd on this machine is {runs}, and {floor} is the first from which another minor version may follow")]
    EtcdFloor {
        /// What runs.
        runs: String,
        /// What has to run.
        floor: String,
    },
    /// Members of different versions.
    #[error("the members of etcd run different versions: {}", .0.join(", "))]
    EtcdMixed(Vec<String>),
    /// No room for the snapshot and for kubeadm's own copy.
    #[error("only {free} MiB are free below /var/lib, and a snapshot and a copy of etcd's data need {needed} MiB")]
    NoRoom {
        /// What is there, in MiB.
        free: u64,
        /// What is needed, in MiB.
        needed: u64,
    },
    /// etcd does not start from newer data.
    #[error("etcd {} data that etcd {older} does not start from", .runs.as_ref().map_or("does not answer, and may have".to_owned(), |runs| format!("is {runs}, and has")))]
    EtcdRaised {
        /// The oldest version that a member runs, without a patch; nothing where none answers.
        runs: Option<String>,
        /// The version before.
        older: String,
    },
    /// What an upgrade was begun with cannot be read.
    #[error("what an upgrade was begun with on this machine cannot be read")]
    Unreadable(#[source] json::Error),
    /// Another version of that.
    #[error("what an upgrade was begun with on this machine is of a version that is not read here")]
    Format(#[source] UnknownFormat),
}

impl UpgradeError {
    /// The reason code: all of these are refusals.
    pub fn code(&self) -> Code {
        match self {
            Self::NoNode
            | Self::PlanesFirst { .. }
            | Self::PlaneBehind { .. }
            | Self::KubeletBehind { .. }
            | Self::EtcdFloor { .. }
            | Self::NoRoom { .. } => Code::Preflight,
            Self::Older { .. } | Self::Skips { .. } | Self::Other { .. } | Self::ClusterNewer { .. } => Code::Spec,
            Self::EtcdMixed(_) => Code::Quorum,
            Self::EtcdRaised { .. } => Code::OneWay,
            Self::Unreadable(_) | Self::Format(_) => Code::Format,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoNode => "`sealock node init` begins a cluster here, `sealock node join` joins one.",
            Self::Skips { .. } => {
                "Go to the next minor version first: --kubernetes with one of its patches, which the release must carry."
            }
            Self::Other { .. } => {
                "Finish it by the same command as before; it may be another release that it takes it from."
            }
            Self::ClusterNewer { .. } => "Name the version that the cluster runs: --kubernetes.",
            Self::PlanesFirst { .. } => {
                "`sealock node upgrade` on each control plane first; the last one brings kube-proxy."
            }
            Self::PlaneBehind { .. } => "Upgrade that one first, to the version that the others run.",
            Self::KubeletBehind { .. } => "Upgrade that node first, as far as the control planes are.",
            Self::EtcdFloor { .. } => {
                "A newer patch of the Kubernetes that runs brings it: --kubernetes with that one first."
            }
            Self::EtcdMixed(_) => "Finish the upgrade of the other control planes first.",
            Self::NoRoom { .. } => "Make room, or make etcd's database smaller: `sealock etcd defrag`.",
            Self::EtcdRaised { .. } => {
                "Forward is left: mend what failed, and run `sealock node upgrade` again. Or back to a backup from before, which loses all that was written since."
            }
            Self::Older { .. } | Self::Unreadable(_) | Self::Format(_) => return None,
        })
    }
}
