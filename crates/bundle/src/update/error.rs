//! What can go wrong with an update.

use std::io;
use std::path::{Path, PathBuf};

use sealock_store::StoreError;
use sealock_trust::directory::DirectoryError;
use sealock_trust::reason::Code;
use sealock_trust::{Digest, Justification};
use semver::Version;

use crate::binary::BinaryError;
use crate::import::ImportError;

/// Why a station's binary was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// What the site remembers is in doubt.
    #[error("nothing is updated while the trust state is in doubt")]
    Site {
        /// Why.
        source: Box<ImportError>,
    },
    /// The store does not give out what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trust directory cannot be read.
    #[error(transparent)]
    Trust(#[from] DirectoryError),
    /// The release carries something else under the name.
    #[error("{name} is not put together as a binary of Sealock is")]
    Artifact {
        /// The name.
        name: String,
    },
    /// The release carries the outside build.
    #[error("{name} is the outside build, which can reach upstreams")]
    Outside {
        /// The name.
        name: String,
    },
    /// It was revoked.
    #[error("{name} is revoked ({digest}): {reason}")]
    Revoked {
        /// The name.
        name: String,
        /// What of it was revoked, or the bundle that brought it.
        digest: Digest,
        /// Why.
        reason: Justification,
    },
    /// A blob is missing, or not what its name says.
    #[error("{digest} is missing, or damaged")]
    Blob {
        /// The blob.
        digest: Digest,
    },
    /// The file is not what the bundle declares.
    #[error("the file is declared as {declared}, and says that it is {found}")]
    Declared {
        /// Version and build that are declared.
        declared: String,
        /// What it says of itself.
        found: String,
    },
    /// The release does not carry the version asked for.
    #[error("the current release has no Sealock {version} for this machine{}", known(carried))]
    NoSuchVersion {
        /// The version.
        version: Version,
        /// Those that it carries.
        carried: Vec<Version>,
    },
    /// It would be older than what is there.
    #[error("Sealock {installed} is installed, and {offered} is older")]
    Downgrade {
        /// The version that is there.
        installed: Version,
        /// The version that was to be installed.
        offered: Version,
    },
    /// There is something else where the binary should be.
    #[error("{} is no Sealock that could be replaced", path.display())]
    NotSealock {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BinaryError,
    },
    /// Nothing was replaced here that could be put back.
    #[error("no update of {} is known that could be taken back", path.display())]
    NoPrevious {
        /// The binary.
        path: PathBuf,
    },
    /// The new one does not work on this machine.
    #[error("the new binary does not work here: {said}")]
    DoesNotWork {
        /// What happened.
        said: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn known(carried: &[Version]) -> String {
    let carried: Vec<String> = carried.iter().map(ToString::to_string).collect();
    if carried.is_empty() { String::new() } else { format!(", only {}", carried.join(", ")) }
}

impl UpdateError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Site { source } => source.code(),
            Self::Store(source) => source.code(),
            Self::Trust(source) => source.code(),
            Self::Artifact { .. } => Some(Code::Format),
            Self::Outside { .. } | Self::Declared { .. } => Some(Code::TypeMismatch),
            Self::Revoked { .. } => Some(Code::Revoked),
            Self::Blob { .. } => Some(Code::Digest),
            Self::NoSuchVersion { .. } => Some(Code::NotInRelease),
            Self::Downgrade { .. } => Some(Code::Rollback),
            Self::NotSealock { .. } => Some(Code::Foreign),
            Self::NoPrevious { .. } | Self::DoesNotWork { .. } | Self::Io { .. } => None,
        }
    }

    /// Whether something untrusted or invalid was refused, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Store(source) => source.is_environment(),
            Self::Site { source } => source.is_environment(),
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Downgrade { .. } => Some("`--allow-downgrade` installs it all the same"),
            Self::Blob { .. } => Some("import the bundle that brought it once more: a damaged blob is replaced"),
            Self::DoesNotWork { .. } => Some("the old one stays: the new one was never put in its place"),
            Self::NotSealock { .. } => Some("`--path FILE` names the binary that is to be replaced"),
            _ => None,
        }
    }
}
