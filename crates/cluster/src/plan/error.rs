//! Why there is no plan, or why one must not be carried out.

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
use crate::spec::{KubernetesVersion, SpecError};

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

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Authorities(error) => error.hint(),
            Self::External(error) => error.hint(),
            Self::Custody(error) => error.hint(),
            Self::Member(error) => error.hint(),
            Self::NotInRelease(_) => {
                "import a bundle that carries it: outside, add it to sealock.yaml, lock, build, and carry the bundle in".into()
            }
            Self::Foreign { .. } => {
                "nothing of others is changed by an apply. A whole cluster that kubeadm made is taken over by `sealock cluster adopt`; else choose another host, or remove that cluster by its own means".into()
            }
            Self::NotAdoptable { begun: true, .. } | Self::AdoptionStuck { .. } => {
                "what was taken over before stays so, and nothing more was changed. Put right what is named, and run `sealock cluster adopt` again: with the spec and the release that it was begun with it goes on where it was. Or give those hosts back with `sealock cluster reset`".into()
            }
            Self::NotAdoptable { .. } => {
                "nothing was changed on any host. Write into the spec what the cluster is; what Sealock cannot take over, change in the cluster first, or bring a bundle that has it".into()
            }
            Self::NameTaken { is_this_one: true, .. } => {
                "it is Sealock's already: `sealock cluster apply` brings further hosts, and mends those that are not what they were".into()
            }
            Self::NameTaken { .. } => "give the hosts of that cluster back first (`sealock cluster reset`), or choose another name".into(),
            Self::Revoked(_) => {
                "no step was carried out. Import the publisher's newest bundle, and plan again with what takes its place; `sealock release show` marks what is revoked".into()
            }
            Self::Stale { .. } => "run `cluster plan` again and review what has changed".into(),
            Self::StillMember { host } => format!("take it out first: `sealock cluster remove {host} --lost`, and apply again"),
            Self::EtcdUnwell => "bring the members back that are down, or take out what is lost: `sealock cluster remove HOST --lost`".into(),
            Self::TwoMembers => "add a third control plane first, or take one out".into(),
            Self::OtherVersion { found, wanted, .. } => match (found.parse::<KubernetesVersion>(), wanted.parse()) {
                (Ok(runs), Ok(wanted)) if runs > wanted => format!("write `version: {runs}` into the spec"),
                _ => format!("`sealock cluster upgrade` leads to {wanted}, step by step"),
            },
            Self::AdoptionOpen => "finish it: `sealock cluster adopt`, or give the hosts that are taken over back with `sealock cluster reset`".into(),
            Self::RestoreOpen => "finish it: `sealock cluster restore`, or give the hosts back with `sealock cluster reset`".into(),
            Self::Occupied { .. } => {
                "give its hosts back first (`sealock cluster reset`), or write other hosts into the spec; workers that were in the cluster may stay".into()
            }
            Self::OtherBackup { what: "Kubernetes", found, .. } => format!("restore with `version: {found}` in the spec, and upgrade afterwards"),
            Self::OtherBackup { .. } => "use the backup of this cluster, or its own spec".into(),
            Self::UpgradeOpen { .. } => "finish it: `sealock cluster upgrade`; or take it back: `sealock cluster rollback`".into(),
            Self::NotOnlyAdded { .. } => {
                "take what else was changed out of the spec, or name those hosts, too; or carry all of it out: `sealock cluster apply`".into()
            }
            Self::WholeBegun => "finish it first: the same command without `--phase`".into(),
            Self::ComponentsOpen => {
                "finish it: `sealock cluster upgrade --components`; or take it back: `sealock cluster rollback`".into()
            }
            Self::OsPackagesOpen => {
                "finish it: `sealock cluster patch-os`. dpkg keeps nothing of what was there before, so there is no way back".into()
            }
            Self::OsPackagesAlone { wanted, .. } => {
                format!("`sealock cluster upgrade` leads to {wanted}; bring OS packages before it or after it")
            }
            Self::NoOsPackages { .. } => {
                "import a bundle that carries a set called after the system of the hosts, like `debian-12` or `ubuntu-24-04`: outside, name it in `spec.osPackages`".into()
            }
            Self::NoSuchPackage { .. } => {
                "outside, run `sealock lock` again with the list of what is installed on the hosts, and carry the bundle in".into()
            }
            Self::IndexLost { .. } => "`sealock store check` tells what else is missing; import the bundle again".into(),
            Self::AptRefuses { .. } => {
                "nothing was changed. Where packages would have to go for others, `--allow-removals` lets them; where apt lacks a dependency, outside, run `sealock lock` again with the list of what is installed on the hosts".into()
            }
            Self::DpkgRuns { .. } => "wait until it has ended, and run the command again".into(),
            Self::DpkgInterrupted { .. } => "finish it there: `dpkg --configure -a`, and plan again".into(),
            Self::NothingToTakeBack { .. } => {
                "two ways are left: forward, to a patch that mends it (`sealock cluster upgrade`; for components `release rollback` and `cluster upgrade --components`); or back to a backup from before, which loses all that was written since (`sealock cluster reset`, then `sealock cluster restore`)"
                    .into()
            }
            Self::NothingKept => {
                "finish it: `sealock cluster upgrade`, with `--components` where components were being brought".into()
            }
            Self::ObjectsLost { .. } => {
                "two ways are left: forward (`sealock cluster upgrade` goes on with the others); or back to a backup from before, which loses all that was written since (`sealock cluster reset`, then `sealock cluster restore`)"
                    .into()
            }
            Self::EtcdRaised { .. } => {
                "two ways are left: forward (mend what failed, and `sealock cluster upgrade`); or back to a backup from before, which loses all that was written since. etcd's own way back, which `sealock etcd downgrade` begins, is not part of a rollback"
                    .into()
            }
            Self::ComponentsAlone { runs, wanted } => format!(
                "write `version: {runs}` into the spec; or, where no components were begun, go to {wanted} by `sealock cluster upgrade` without `--components`: those of the release come along"
            ),
            Self::Downgrade { .. } => "write the version that runs into the spec".into(),
            Self::NotANode { .. } | Self::OtherSpec => {
                "take what else was changed out of the spec, finish the upgrade, and apply it then; or, where none was begun, apply it first with the version that runs".into()
            }
            Self::NothingEnded { .. } => "`sealock cluster renew` makes them anew before they end, and `cluster status` tells what else is wrong".into(),
            Self::NoCertificates { .. } => "run `sealock cluster apply` first".into(),
            Self::LastControlPlane { .. } => {
                "add another one first, or give all hosts back with `sealock cluster reset`".into()
            }
            Self::Gates(failures) => failures.first()?.remedy.clone(),
            _ => return None,
        })
    }
}
