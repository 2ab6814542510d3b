//! What can go wrong in the trust directory.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::json;
use crate::names::{StreamName, StreamPrefix};
use crate::reason::Code;
use crate::site::SiteRootError;
use crate::tuf::TrustError;

/// Why the trust directory did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The system did not let us.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the directory is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: json::Error,
    },
    /// A root of the directory is missing or damaged.
    #[error("the enrolled root {fingerprint} is missing or damaged")]
    RootDamaged {
        /// The enrolled root's fingerprint.
        fingerprint: Digest,
        /// What is wrong with it; nothing if the file is missing.
        source: Option<TrustError>,
    },
    /// The root to be enrolled is not the one that the fingerprint names.
    #[error("the root has the fingerprint {found}, not {expected}")]
    Fingerprint {
        /// The fingerprint that was given.
        expected: Digest,
        /// The one that the file has.
        found: Digest,
    },
    /// The root to be enrolled is not sound.
    #[error("the root is not believed")]
    Root(#[source] TrustError),
    /// Another root is enrolled for the same prefix.
    #[error("the prefix {prefix} belongs to the enrolled root {enrolled} already")]
    PrefixTaken {
        /// The prefix.
        prefix: StreamPrefix,
        /// The root that has it.
        enrolled: Digest,
    },
    /// No root speaks for the stream.
    #[error("no trust root is enrolled for the stream {0}")]
    NotEnrolled(StreamName),
    /// The stream has moved on since the bundle was verified.
    #[error("the stream {stream} has accepted sequence {accepted}, and does not go back to {sequence}")]
    WentOn {
        /// The stream.
        stream: StreamName,
        /// What was to be accepted.
        sequence: u64,
        /// What is accepted.
        accepted: u64,
    },
    /// The site root is not believed.
    #[error("the site root is not believed")]
    SiteRoot(#[source] SiteRootError),
}

impl DirectoryError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Io { .. } | Self::Damaged { .. } | Self::RootDamaged { .. } => None,
            Self::Fingerprint { .. } => Some(Code::Fingerprint),
            Self::Root(source) => Some(source.code()),
            Self::PrefixTaken { .. } => Some(Code::Conflict),
            Self::NotEnrolled(_) => Some(Code::NotEnrolled),
            Self::WentOn { .. } => Some(Code::Rollback),
            Self::SiteRoot(source) => source.code(),
        }
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}
