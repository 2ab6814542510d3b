//! Why there is no plan, or why one must not be carried out.

mod hints;
mod member;
mod words;

use sealock_trust::format::UnknownFormat;
use sealock_trust::json;
use sealock_trust::reason::Code;

pub use self::member::MemberError;
use self::words::{count, lines, mismatches, raised, things, told};
use super::{AuthoritiesError, CustodyError, ExternalEtcdError, GateFailure};
use crate::adoption::Mismatch;
use crate::release::NotInRelease;
use crate::render::RenderError;
use crate::revoked::Needed;
use crate::spec::SpecError;

/// Why there is no plan, or why one must not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The spec makes no sense.
    #[error("the cluster spec is refused")]
    Spec(#[from] SpecError),
    /// Authorities cannot be replaced, or are being.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// An etcd that somebody else runs does not keep the cluster.
    #[error(transparent)]
    External(#[from] ExternalEtcdError),
    /// The authorities of the spec are not the cluster's, or cannot be.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// One member of etcd does not come back from the others.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The spec is for another site.
    #[error("the cluster spec is for site {spec}, and this is site {here}")]
    OtherSite {
        /// What the spec says.
        spec: String,
        /// Where we are.
        here: String,
    },
    /// The release lacks something.
    #[error("the release cannot make this cluster")]
    NotInRelease(#[from] NotInRelease),
    /// The plan needs what was revoked.
    #[error("the plan needs {} that must not be used any more:{}", count(.0.len()), Needed::lines(.0))]
    Revoked(Vec<Needed>),
    /// No pause image is among kubeadm's images.
    #[error("kubeadm {version} names no pause image")]
    NoPauseImage {
        /// The Kubernetes version.
        version: String,
    },
    /// An add-on's image is not among kubeadm's images.
    #[error("kubeadm {version} names no image of {name}")]
    NoImage {
        /// The add-on.
        name: String,
        /// The Kubernetes version.
        version: String,
    },
    /// A configuration could not be written.
    #[error("a configuration cannot be rendered")]
    Render(#[from] RenderError),
    /// A host of the spec is not in the inventory.
    #[error("host {host} was not observed")]
    NotObserved {
        /// The host.
        host: String,
    },
    /// Kubernetes that Sealock did not bring runs on a host, or the host is another cluster's.
    #[error("host {host} has a cluster already: {}", .evidence.join(", "))]
    Foreign {
        /// The host.
        host: String,
        /// What was found.
        evidence: Vec<String>,
    },
    /// A cluster that runs is not what the spec says, or not what can be taken over.
    #[error("{} in the way of taking the cluster over:{}", things(.found.len()), mismatches(.found))]
    NotAdoptable {
        /// Every difference.
        found: Vec<Mismatch>,
        /// Whether an adoption was begun, so that hosts may be taken over already.
        begun: bool,
    },
    /// An adoption that was begun cannot go on.
    #[error("taking the cluster over cannot go on: on host {host} {}", .changes.join("; "))]
    AdoptionStuck {
        /// The host.
        host: String,
        /// What no step of the plan explains.
        changes: Vec<String>,
    },
    /// The station has a cluster of that name.
    #[error("this station has a cluster called {cluster} already, and {}", if *.is_this_one { "not every host of the spec is a node of it" } else { "its hosts are not what it left" })]
    NameTaken {
        /// The cluster.
        cluster: String,
        /// Whether hosts are claimed for it: then it is the one that is meant.
        is_this_one: bool,
    },
    /// What a cluster says of itself makes no sense.
    #[error("{what} cannot be read")]
    NotUnderstood {
        /// Which part of it.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Hosts are not fit.
    #[error("{} of the hosts' conditions are not met:{}", .0.len(), lines(.0))]
    Gates(Vec<GateFailure>),
    /// A cluster without a control plane is none.
    #[error("{host} is the only control plane: without it there is no cluster")]
    LastControlPlane {
        /// The host.
        host: String,
    },
    /// etcd knows a member on a host that has nothing of it: joining there would bring up a voter that has forgotten its log.
    #[error(
        "{host} is bare, and etcd still has its member: whoever joined in its place would have a vote and no memory"
    )]
    StillMember {
        /// The host.
        host: String,
    },
    /// etcd is in no state in which its members may be started anew one after the other.
    #[error("not all members of etcd are well: starting another one anew could leave no majority")]
    EtcdUnwell,
    /// Two voters are less safe than one: each that is started anew stops both.
    #[error("etcd has two members: while one of them is started anew, the other one cannot decide anything")]
    TwoMembers,
    /// A host runs another version than the spec names.
    #[error("host {host} runs Kubernetes {found}, and the spec says {wanted}")]
    OtherVersion {
        /// The host.
        host: String,
        /// What it runs.
        found: String,
        /// What the spec says.
        wanted: String,
    },
    /// There is no way back to an older version.
    #[error("host {host} runs Kubernetes {found}: {wanted} is older, and a cluster does not go back")]
    Downgrade {
        /// The host.
        host: String,
        /// What it runs.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A host of the spec is no node yet.
    #[error("host {host} is no complete node of the cluster yet")]
    NotANode {
        /// The host.
        host: String,
    },
    /// An upgrade was begun, and is not finished.
    #[error("the upgrade to Kubernetes {version} was begun and is not finished yet")]
    UpgradeOpen {
        /// Where it leads.
        version: String,
    },
    /// Hosts were to be taken in, and more would be changed.
    #[error("more would be changed than that these hosts come:\n  {}", .changes.join("\n  "))]
    NotOnlyAdded {
        /// What else, each as `host: what`.
        changes: Vec<String>,
    },
    /// A part of a plan was asked for, and a whole one is under way.
    #[error("a whole plan was begun and is not finished yet, and no part of one is carried out beside it")]
    WholeBegun,
    /// Components were being brought to the nodes, and not all have them.
    #[error("bringing components to the nodes was begun and is not finished yet")]
    ComponentsOpen,
    /// Components alone, and another version of Kubernetes.
    #[error("components come alone: the cluster runs Kubernetes {runs}, and {wanted} was asked for")]
    ComponentsAlone {
        /// What runs.
        runs: String,
        /// What was asked for.
        wanted: String,
    },
    /// OS packages were being brought to the nodes, and not all have them.
    #[error("bringing OS packages to the nodes was begun and is not finished yet")]
    OsPackagesOpen,
    /// OS packages alone, and another version of Kubernetes.
    #[error("OS packages come alone: the cluster runs Kubernetes {runs}, and the spec says {wanted}")]
    OsPackagesAlone {
        /// What runs.
        runs: String,
        /// What the spec says.
        wanted: String,
    },
    /// The release has no OS packages for any of the nodes.
    #[error("release {release} carries no OS packages for {}", .systems.iter().cloned().collect::<Vec<_>>().join(", "))]
    NoOsPackages {
        /// The number of the release.
        release: u64,
        /// Systems and architectures, like `debian-12 (amd64)`.
        systems: std::collections::BTreeSet<String>,
    },
    /// The index of a set is not in the store.
    #[error("the index {digest} of the OS packages {set} is missing from the store, or damaged")]
    IndexLost {
        /// The set.
        set: String,
        /// What the release names.
        digest: sealock_trust::Digest,
    },
    /// apt on a host wants what no set has.
    #[error("host {host}: apt wants {package}, which the release does not have")]
    NoSuchPackage {
        /// The host.
        host: String,
        /// The package.
        package: String,
    },
    /// apt on a host says no.
    #[error("host {host}: what the OS packages of the release would change cannot be told: {said}")]
    AptRefuses {
        /// The host.
        host: String,
        /// What it says.
        said: String,
    },
    /// A dpkg was cut off on a host.
    #[error("host {host}: a dpkg was cut off there, and has left packages half done")]
    DpkgInterrupted {
        /// The host.
        host: String,
    },
    /// A dpkg of somebody else runs on a host.
    #[error("host {host}: somebody's dpkg runs there just now")]
    DpkgRuns {
        /// The host.
        host: String,
    },
    /// A host that the spec does not have.
    #[error("the spec has no host {host}")]
    NoSuchHost {
        /// The name.
        host: String,
    },
    /// Taking over was begun, and is not finished.
    #[error("taking the cluster over was begun and is not finished yet")]
    AdoptionOpen,
    /// The upgrade is finished: what it made of the nodes is what they are.
    #[error("no upgrade of cluster {cluster} is unfinished: it runs Kubernetes {version}, and a cluster does not go back{}", told(.lost))]
    NothingToTakeBack {
        /// The cluster.
        cluster: String,
        /// What runs.
        version: String,
        /// What a restore would lose, where that is known.
        lost: Option<String>,
    },
    /// The upgrade was begun by a Sealock that keeps nothing of before.
    #[error("what is not finished was begun by an older Sealock, which keeps nothing of what the nodes were")]
    NothingKept,
    /// etcd has gone on to a version that the older program does not start from.
    #[error("control plane {host} does not go back: {}, and then etcd {older} does not start from its data any more", raised(.runs))]
    EtcdRaised {
        /// The control plane.
        host: String,
        /// The oldest version that a member runs, without a patch; nothing where none answers.
        runs: Option<String>,
        /// The version before.
        older: String,
    },
    /// What the cluster was is kept on a host that is gone.
    #[error(
        "what kubeadm has changed in the cluster was kept on {host} alone, which the upgrade was begun with and which is no control plane of it any more"
    )]
    ObjectsLost {
        /// The control plane that spoke for the cluster.
        host: String,
    },
    /// A restore was begun, and is not finished.
    #[error("a restore of the cluster was begun and is not finished yet")]
    RestoreOpen,
    /// A cluster is not restored over another one.
    #[error("host {host} is a node already: a backup is restored onto hosts that have no cluster")]
    Occupied {
        /// The host.
        host: String,
    },
    /// The backup is of something else than the spec.
    #[error("the backup is of {what} {found}, and the spec says {wanted}")]
    OtherBackup {
        /// What differs.
        what: &'static str,
        /// What the backup holds.
        found: String,
        /// What the spec says.
        wanted: String,
    },
    /// An upgrade changes nothing but the version.
    #[error("the spec differs from what was applied in more than the version")]
    OtherSpec,
    /// There is nothing to renew.
    #[error("no control plane of cluster {cluster} has certificates that kubeadm could renew")]
    NoCertificates {
        /// The cluster.
        cluster: String,
    },
    /// Nobody has to be rescued.
    #[error("no certificate of cluster {cluster} has ended")]
    NothingEnded {
        /// The cluster.
        cluster: String,
    },
    /// An authority has ended.
    #[error("the authority in {path} on host {host} has ended: nothing that it vouches for is believed")]
    AuthorityEnded {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
    /// The hosts are no longer what the plan takes for granted.
    #[error("the plan is stale: on host {host} {}", .changes.join("; "))]
    Stale {
        /// The host.
        host: String,
        /// What has changed.
        changes: Vec<String>,
    },
    /// The file is no plan.
    #[error("not a plan")]
    Unreadable(#[source] json::Error),
    /// The plan has another format.
    #[error("the plan is not of a version that is read here")]
    Format(#[source] UnknownFormat),
}

impl PlanError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Spec(_) => Some(Code::Spec),
            Self::Authorities(error) => error.code(),
            Self::External(error) => error.code(),
            Self::Custody(error) => error.code(),
            Self::Member(error) => error.code(),
            Self::NotInRelease(_) | Self::NoOsPackages { .. } | Self::NoSuchPackage { .. } => Some(Code::NotInRelease),
            Self::IndexLost { .. } => Some(Code::Digest),
            Self::Revoked(_) => Some(Code::Revoked),
            Self::Foreign { .. } | Self::Occupied { .. } | Self::NotAdoptable { .. } | Self::NameTaken { .. } => {
                Some(Code::Foreign)
            }
            Self::Stale { .. } | Self::AdoptionStuck { .. } => Some(Code::StalePlan),
            Self::LastControlPlane { .. } | Self::StillMember { .. } | Self::EtcdUnwell | Self::TwoMembers => {
                Some(Code::Quorum)
            }
            Self::OtherVersion { .. }
            | Self::Downgrade { .. }
            | Self::OtherSpec
            | Self::NotOnlyAdded { .. }
            | Self::OtherBackup { .. }
            | Self::OsPackagesAlone { .. }
            | Self::NoSuchHost { .. }
            | Self::ComponentsAlone { .. } => Some(Code::Spec),
            Self::NothingToTakeBack { .. } | Self::NothingKept | Self::EtcdRaised { .. } | Self::ObjectsLost { .. } => {
                Some(Code::OneWay)
            }
            Self::Unreadable(_) | Self::Format(_) => Some(Code::Format),
            Self::OtherSite { .. } => Some(Code::Audience),
            Self::Gates(_) => Some(Code::Preflight),
            Self::NotUnderstood { .. }
            | Self::NoPauseImage { .. }
            | Self::NoImage { .. }
            | Self::NoCertificates { .. }
            | Self::NotANode { .. }
            | Self::NothingEnded { .. }
            | Self::AuthorityEnded { .. }
            | Self::UpgradeOpen { .. }
            | Self::WholeBegun
            | Self::ComponentsOpen
            | Self::OsPackagesOpen
            | Self::AptRefuses { .. }
            | Self::DpkgInterrupted { .. }
            | Self::DpkgRuns { .. }
            | Self::AdoptionOpen
            | Self::RestoreOpen
            | Self::Render(_)
            | Self::NotObserved { .. } => None,
        }
    }

    /// Whether the input is untrusted or invalid, so that trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}
