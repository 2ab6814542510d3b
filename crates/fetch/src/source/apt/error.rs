//! What can be wrong with an archive, or with what a spec wants of it.

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_bundle::os_packages::{IndexError, ParseRelationError, ReleaseError};
use sealock_trust::reason::Code;

/// Why a set of OS packages cannot be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AptError {
    /// The spec asks for something that makes no sense.
    #[error("{reason}")]
    Spec {
        /// What.
        reason: String,
    },
    /// A list of installed packages is none.
    #[error("{} is no list of installed packages at line {line}: {reason}", path.display())]
    Installed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A `Release` that cannot be read, though the archive has signed it.
    #[error("the Release of {archive} cannot be used")]
    Release {
        /// The archive.
        archive: String,
        /// Why.
        source: ReleaseError,
    },
    /// The `Release` of another suite stands in the place of this one.
    #[error("the Release of {archive} is that of another suite: it says {says}")]
    Suite {
        /// The archive.
        archive: String,
        /// What it says of itself.
        says: String,
    },
    /// A `Release` that is no longer good.
    #[error("the Release of {archive} was good until {until}")]
    Expired {
        /// The archive.
        archive: String,
        /// Until when.
        until: Timestamp,
    },
    /// An older `Release` than the one that was seen before.
    #[error("the Release of {archive} is of {date}, and the lock was made from one of {before}")]
    Older {
        /// The archive.
        archive: String,
        /// When it was made.
        date: Timestamp,
        /// When the one was made that the lock knows.
        before: Timestamp,
    },
    /// The archive has no such component, or not for the architecture.
    #[error("{archive} has no index of {component} for {architecture}")]
    NoIndex {
        /// The archive.
        archive: String,
        /// The component.
        component: String,
        /// The architecture, as Debian names it.
        architecture: String,
    },
    /// An index that is larger than any.
    #[error("the index {path} of {archive} has {size} bytes, and at most {limit} are read")]
    Large {
        /// The archive.
        archive: String,
        /// The index.
        path: String,
        /// Its length.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// An index that cannot be read, though the archive has signed its sum.
    #[error("the index {path} of {archive} cannot be used")]
    Index {
        /// The archive.
        archive: String,
        /// The index.
        path: String,
        /// Why.
        source: IndexError,
    },
    /// A package that no archive of the set has.
    #[error("no archive of the set {set} has {name} for {architecture}{}", instead(.providers))]
    NoPackage {
        /// The set.
        set: String,
        /// The package.
        name: String,
        /// The architecture, as Debian names it.
        architecture: String,
        /// Packages that provide it.
        providers: Vec<String>,
    },
    /// A dependency that no archive of the set meets.
    #[error("{package} needs {dependency}, which no archive of the set {set} has for {architecture}")]
    Unmet {
        /// The set.
        set: String,
        /// Name and version of the package.
        package: String,
        /// What it needs.
        dependency: String,
        /// The architecture, as Debian names it.
        architecture: String,
    },
    /// Dependencies that cannot be read.
    #[error("{package} has dependencies that cannot be read")]
    Dependencies {
        /// Name and version of the package.
        package: String,
        /// What is wrong.
        source: ParseRelationError,
    },
    /// The packages cannot be one set.
    #[error("the set {set} cannot be carried")]
    Set {
        /// The set.
        set: String,
        /// Why.
        source: IndexError,
    },
}

fn instead(providers: &[String]) -> String {
    let what = providers.join(", ");
    if providers.is_empty() { String::new() } else { format!("; it is provided by {what}: name one of these") }
}

impl AptError {
    /// The reason code.
    pub fn code(&self) -> Code {
        match self {
            Self::Spec { .. } | Self::Installed { .. } => Code::Spec,
            Self::Suite { .. } => Code::Subject,
            Self::Expired { .. } => Code::Expired,
            Self::Older { .. } => Code::Rollback,
            Self::Large { .. } => Code::Limit,
            Self::Set { source, .. } | Self::Index { source, .. } if is_limit(source) => Code::Limit,
            Self::Release { .. } | Self::Index { .. } | Self::Dependencies { .. } => Code::Format,
            Self::NoIndex { .. } | Self::NoPackage { .. } | Self::Unmet { .. } | Self::Set { .. } => Code::Unresolved,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Suite { .. } => {
                "name the suite or the codename that the archive says of itself; if the spec is right, do not use this mirror"
            }
            Self::Expired { .. } => {
                "the mirror is behind, or is kept behind: take another one, and compare the `Date` of its Release"
            }
            Self::Older { .. } => {
                "the mirror is behind, or is kept behind: take another one. If the archive itself went back, remove `os-packages/…` of it from `annotations` of the lock"
            }
            Self::NoIndex { .. } => "check `components` and `platforms`",
            Self::Unmet { .. } => {
                "name the archive as well that has it, or give lists of what the hosts have under `installed`"
            }
            Self::Installed { .. } => {
                "take it on a host with: dpkg-query -W -f '${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status}\\n'"
            }
            _ => return None,
        })
    }
}

fn is_limit(source: &IndexError) -> bool {
    use sealock_bundle::os_packages::StanzaError;
    matches!(source, IndexError::Limit { .. } | IndexError::Stanza(StanzaError::Limit { .. }))
}
