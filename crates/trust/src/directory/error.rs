//! What can go wrong in the trust directory.

use std::io;
use std::path::{Path, PathBuf};

use super::Mirror;
use crate::digest::Digest;
use crate::dsse::DsseError;
use crate::format::UnknownFormat;
use crate::json;
use crate::names::{StreamName, StreamPrefix};
use crate::reason::Code;
use crate::resolution::ResolveError;
use crate::revocation::RevocationError;
use crate::signer::SignError;
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
    /// A file of the directory is no envelope.
    #[error("{} is damaged", path.display())]
    DamagedEnvelope {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DsseError,
    },
    /// A file of a format that is not known.
    #[error("{} is not of a version that is read here", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// The state of a site is gone.
    #[error("{} is missing, though the site has a root", .0.display())]
    Missing(PathBuf),
    /// The state is not sealed by the site.
    #[error("{} is not sealed by the site's key", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// What the check of the seal said.
        source: DsseError,
    },
    /// The state of a site is to be written without its key.
    #[error("{} belongs to a site, and is written under the site's key only", path.display())]
    SealNeeded {
        /// The file.
        path: PathBuf,
    },
    /// The site root is another one than the state was sealed with.
    #[error("the site root {found} in {} is not the one that the sealed state names", path.display())]
    OtherSiteRoot {
        /// The directory.
        path: PathBuf,
        /// The fingerprint of the site root that is there.
        found: Digest,
    },
    /// The site's key did not sign.
    #[error("sealing the trust state failed")]
    Sign(#[source] SignError),
    /// A revocation list is not believed.
    #[error("the revocation list is not believed")]
    Revocations(#[source] RevocationError),
    /// A revocation list of a publisher who is not enrolled, or under a root that has not come yet.
    #[error("no enrolled publisher is known to have the root {0}")]
    UnknownPublisher(Digest),
    /// A revocation list that the state names is missing or damaged.
    #[error("the revocation list {} is missing or damaged", .0.display())]
    ListDamaged(PathBuf),
    /// Something is to be confirmed as revoked that is not.
    #[error("{0} is not revoked")]
    NotRevoked(Digest),
    /// The state is older than a mirror of it.
    #[error(
        "the trust state has generation {found}, and {} knows {} generation {}: an older copy was restored",
        mirror.place,
        if *found == mirror.generation { "another state of" } else { "its" },
        mirror.generation
    )]
    Regression {
        /// The generation of the state.
        found: u64,
        /// What knows a later one.
        mirror: Mirror,
    },
    /// A token that broke a glass already.
    #[error("the token {0} was used before, and breaks one glass only")]
    TokenUsed(Digest),
    /// The token by which a regression is to be settled does not do so.
    #[error("the older trust state is not settled by this token")]
    Resolution(#[source] ResolveError),
    /// There is nothing to settle.
    #[error("nothing is frozen: no mirror knows a later trust state than this one")]
    NotFrozen,
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
    /// A root that is not for the base, and nothing said of its artifacts' names.
    #[error("a root for the streams {0} has to be enrolled with what the names of its artifacts begin with")]
    NamesNeeded(StreamPrefix),
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

    /// A cut or altered envelope is damage; its canonical form and its fields are ours.
    pub(super) fn bad_file(path: &Path, source: DsseError) -> Self {
        Self::DamagedEnvelope { path: path.to_owned(), source }
    }

    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Io { .. }
            | Self::Damaged { .. }
            | Self::DamagedEnvelope { .. }
            | Self::RootDamaged { .. }
            | Self::ListDamaged(_)
            | Self::NotRevoked(_)
            | Self::NotFrozen
            | Self::NamesNeeded(_)
            | Self::SealNeeded { .. }
            | Self::Sign(_) => None,
            Self::UnknownFormat { source, .. } => Some(source.code()),
            Self::TokenUsed(_) => Some(Code::Used),
            Self::Resolution(source) => source.code(),
            Self::Revocations(source) => source.code(),
            Self::UnknownPublisher(_) => Some(Code::NotEnrolled),
            Self::Missing(_) | Self::Seal { .. } | Self::OtherSiteRoot { .. } | Self::Regression { .. } => {
                Some(Code::StateRegression)
            }
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
