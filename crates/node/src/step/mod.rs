//! Steps: one repeatable action on one node.
//!
//! The types are what a plan is made of: kebab-case JSON without floats, so that a plan can be written canonically and
//! bound by its digest. No step holds a secret: where a configuration needs one, it names it as `${secret:NAME}`, and the
//! value arrives on standard input when the step runs ([`crate::request::Secrets`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod act;
mod anew;
mod authorities;
mod backup;
mod claim;
mod component;
pub(crate) mod containers;
mod directory;
mod etcd;
mod external;
mod file;
pub(crate) mod hosts;
pub(crate) mod images;
mod keeps_running;
mod kernel_module;
mod kinds;
mod kubeadm;
mod kubectl_here;
mod kubelet_certificate;
mod node_ready;
mod os_packages;
mod phases;
mod ran_before;
mod renewal;
mod requests;
mod reset;
mod restarted;
mod routed;
mod rules;
pub(crate) mod sysctl;
pub(crate) mod time_servers;
mod unit;
mod upgrade;

pub(crate) use act::Act;
pub use authorities::{
    Authorities, AuthoritiesForgotten, AuthoritiesMade, AuthoritiesPublished, AuthoritiesSupplied, Stage,
};
pub use backup::{BackupFile, BackupFiles, EtcdFromBackup, FOLDER as RESTORES, KubeletRegistered, StaleNodes};
pub use claim::{BY_ITSELF, belongs_to};
pub(crate) use claim::{claimed, evidence};
pub(crate) use component::{
    damaged as damaged_components, folder_of as component_folder, is_intact as component_is_intact,
};
pub use etcd::{
    ApiServerBack, EtcdCertificates, EtcdRestored, EtcdStopped, GiveBack, LocalFile, LocalProgram, MemberAside,
    MemberRemoved, MembersAgree, SetAside, certificate_files,
};
pub use external::{EtcdClaim, EtcdClient};
pub use keeps_running::KeepsRunning;
pub(crate) use kernel_module::is_loaded as module_is_loaded;
pub use kinds::*;
pub(crate) use kubeadm::{began as kubeadm_began, ended as kubeadm_ended};
pub use kubelet_certificate::KubeletCertificate;
pub use os_packages::{
    EtcdWell, MachineRestarted, OsPackageFile, OsPackageSet, OsPackagesAdded, OsPackagesInstalled, OsPackagesLaidDown,
    RestartWhen, StandsAsBefore,
};
pub use phases::*;
pub use ran_before::RanBefore;
pub(crate) use requests::waiting as waiting_requests;
pub use requests::{CertificatesRequested, CertificatesSigned};
pub use restarted::{Restarted, held_back};
pub use time_servers::TimeServers;
pub(crate) use unit::State as UnitState;
pub use unit::is_active as unit_is_active;
pub use upgrade::{
    BEFORE_ADOPTION, Drained, EtcdSnapshot, Kept, ObjectsBack, ObjectsKept, RolledOut, RunAs, ServicesAnswer,
    TakenBack, Uncordoned, Workload, is_kept, kept_file,
};

/// One repeatable action on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// Unique within the node's part of the plan, like `containerd/config`.
    pub id: String,
    /// What is to be done.
    pub action: StepKind,
}

impl Step {
    /// A step called `id`.
    pub fn new(id: impl Into<String>, action: impl Into<StepKind>) -> Self {
        Self { id: id.into(), action: action.into() }
    }

    /// How far the step can be taken back.
    pub fn class(&self) -> Class {
        self.action.class()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.action.fmt(f)
    }
}

macro_rules! step_kinds {
    ($($(#[$doc:meta])* $kind:ident: $class:ident,)*) => {
        /// What a step does.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum StepKind {
            $($(#[$doc])* $kind($kind),)*
        }

        impl StepKind {
            /// How far the step can be taken back.
            pub fn class(&self) -> Class {
                match self { $(Self::$kind(_) => Class::$class,)* }
            }

            pub(crate) fn act(&self) -> &dyn Act {
                match self { $(Self::$kind(kind) => kind,)* }
            }
        }

        impl fmt::Display for StepKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$kind(kind) => kind.fmt(f),)* }
            }
        }

        $(impl From<$kind> for StepKind {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        })*
    };
}

step_kinds! {
    /// Takes the host for one cluster; the first step of every node.
    Claim: Reversible,
    /// A file with exactly this content.
    File: Reversible,
    /// A folder.
    Directory: Reversible,
    /// Kernel settings, now and at every boot.
    Sysctl: Reversible,
    /// Kernel modules, now and at every boot.
    KernelModule: Reversible,
    /// A name in `/etc/hosts`.
    HostsEntry: Reversible,
    /// The time from the site's servers, and from nobody else.
    TimeServers: Reversible,
    /// Binaries of the release, fetched by digest and linked into place.
    Component: Reversible,
    /// A systemd unit with its drop-ins.
    Unit: Reversible,
    /// Images preloaded into containerd by digest, and pinned.
    Images: Reversible,
    /// One phase of `kubeadm init`, `join` or `upgrade`.
    KubeadmPhase: Compensable,
    /// The phases of kubeadm that ran before Sealock came.
    RanBefore: Reversible,
    /// The pod network that comes built in.
    RoutedNetwork: Reversible,
    /// What an API server shows to an etcd that is elsewhere.
    EtcdClient: Compensable,
    /// An etcd that is elsewhere, taken for the cluster.
    EtcdClaim: Compensable,
    /// Authorities that somebody else has made, and their keys.
    AuthoritiesSupplied: Reversible,
    /// Keys made on the host, and requests for certificates to them.
    CertificatesRequested: Reversible,
    /// Certificates that an authority outside has signed.
    CertificatesSigned: Compensable,
    /// Waits until a node is Ready; runs on a control plane host.
    NodeReady: Reversible,
    /// Waits until a unit that was started anew goes on running.
    KeepsRunning: Reversible,
    /// Certificates of a control plane made anew, and in use.
    Renewal: OneWay,
    /// New authorities, made and kept.
    AuthoritiesMade: Reversible,
    /// What a host believes, and what its certificates are issued by.
    Authorities: OneWay,
    /// What the cluster says of its authorities; runs on a control plane host.
    AuthoritiesPublished: Compensable,
    /// Keys of authorities that were dropped, removed.
    AuthoritiesForgotten: OneWay,
    /// Pods of a workload started anew; runs on a control plane host.
    Restarted: Compensable,
    /// A snapshot of etcd, before the control plane changes.
    EtcdSnapshot: Reversible,
    /// What the node is, kept before an upgrade changes it.
    Kept: Reversible,
    /// Objects that kubeadm changes, kept before an upgrade; runs on a control plane host.
    ObjectsKept: Reversible,
    /// The node as it was kept before an upgrade changed it.
    TakenBack: Compensable,
    /// Objects as they were kept before an upgrade; runs on a control plane host.
    ObjectsBack: Compensable,
    /// Empties a node; runs on a control plane host.
    Drained: Compensable,
    /// Lets new pods come to a node again; runs on a control plane host.
    Uncordoned: Reversible,
    /// The phases of kubeadm count as run with a newer configuration.
    RunAs: Compensable,
    /// Waits until a workload runs an image everywhere; runs on a control plane host.
    RolledOut: Reversible,
    /// The cluster's services are reached from the node.
    ServicesAnswer: Reversible,
    /// OS packages of the release, in a folder of the host.
    OsPackagesLaidDown: Reversible,
    /// OS packages that the host lacks, from what was laid down.
    OsPackagesAdded: Compensable,
    /// OS packages changed, from what was laid down.
    OsPackagesInstalled: OneWay,
    /// The machine started anew, where its packages want that.
    MachineRestarted: Compensable,
    /// The host is what it was before its packages changed.
    StandsAsBefore: Reversible,
    /// Waits until etcd is well; runs on a control plane host.
    EtcdWell: Reversible,
    /// A certificate for a kubelet whose own has ended.
    KubeletCertificate: Compensable,
    /// Programs that lie on the host already, brought to their place by digest.
    LocalProgram: Reversible,
    /// etcd's certificates and keys.
    EtcdCertificates: Reversible,
    /// An etcd that does not run, and has let go of its data.
    EtcdStopped: Compensable,
    /// A folder under another name: nothing of it is lost.
    SetAside: Reversible,
    /// etcd's data, restored from a snapshot.
    EtcdRestored: Compensable,
    /// A member that is lost, taken out of etcd; runs on another control plane host.
    MemberRemoved: OneWay,
    /// The data of such a member, aside.
    MemberAside: Compensable,
    /// The API server of a host whose member has come again.
    ApiServerBack: Reversible,
    /// A member that has come again votes, and holds what the others hold; runs on another control plane host.
    MembersAgree: Reversible,
    /// Files of a control plane, from a backup.
    BackupFiles: Reversible,
    /// etcd's data, from a backup.
    EtcdFromBackup: Compensable,
    /// kubelet of a worker that outlived the control plane, started once.
    KubeletRegistered: Reversible,
    /// Nodes that went with their machines, forgotten.
    StaleNodes: OneWay,
    /// What Sealock changed, given back.
    GiveBack: OneWay,
    /// Takes the host out of its cluster and returns it to what it was.
    Reset: OneWay,
}

/// How far a step can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Undo returns the host to what it was.
    Reversible,
    /// A later step can make good for it, but not erase that it happened.
    Compensable,
    /// There is no way back.
    OneWay,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reversible => "reversible",
            Self::Compensable => "compensable",
            Self::OneWay => "one-way",
        })
    }
}

/// What a look at the host says about a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Probe {
    /// The host is already as the step wants it.
    Done,
    /// There is something to do.
    NotDone {
        /// What is missing or different.
        because: String,
    },
    /// Something stands in the way that Sealock did not make; it is refused, never overwritten.
    Foreign {
        /// What was found, and where.
        found: String,
    },
    /// The host cannot say; running on would be a guess.
    Unknown {
        /// Why it cannot say.
        because: String,
    },
}

impl Probe {
    /// There is something to do.
    pub fn not_done(because: impl Into<String>) -> Self {
        Self::NotDone { because: because.into() }
    }

    /// Something stands in the way.
    pub fn foreign(found: impl Into<String>) -> Self {
        Self::Foreign { found: found.into() }
    }

    /// The host cannot say.
    pub fn unknown(because: impl Into<String>) -> Self {
        Self::Unknown { because: because.into() }
    }

    /// True for [`Probe::Done`].
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::NotDone { because } => write!(f, "not done: {because}"),
            Self::Foreign { found } => write!(f, "foreign: {found}"),
            Self::Unknown { because } => write!(f, "unknown: {because}"),
        }
    }
}

/// Permission bits of a file or folder, written in octal as `0644`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(u32);

impl Mode {
    /// `0644`.
    pub const FILE: Self = Self(0o644);
    /// `0755`.
    pub const EXECUTABLE: Self = Self(0o755);
    /// `0600`.
    pub const PRIVATE: Self = Self(0o600);

    /// The permission bits of `bits`; the file type is dropped.
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits as `chmod` takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A text that is not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mode is four octal digits, like 0644")]
pub struct ParseModeError;

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 4 || !text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
            return Err(ParseModeError);
        }
        u32::from_str_radix(text, 8).map(Self).map_err(|_| ParseModeError)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
