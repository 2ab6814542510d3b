//! Why a revocation list is not believed.

use jiff::Timestamp;

use crate::dsse::DsseError;
use crate::format::UnknownFormat;
use crate::json;
use crate::reason::Code;
use crate::role::RoleError;
use crate::signer::SignError;

/// Why a revocation list is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the revocation list's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a revocation list.
    #[error("the revocation list's content is malformed")]
    Json(#[from] json::Error),
    /// A format of another major version.
    #[error("the revocation list is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Something that the types alone do not say.
    #[error("this is no revocation list: {0}")]
    Form(&'static str),
    /// More entries than a list may have.
    #[error("the revocation list has more than {limit} entries", limit = super::MAX_ENTRIES)]
    TooMany,
    /// A role of the root can't be filled.
    #[error("a role of the publisher's root cannot be filled")]
    Role(#[from] RoleError),
    /// The root names no revoker, and its own keys did not sign.
    #[error("root {version} names no revoker, and its own keys have not signed the list")]
    NoRevoker {
        /// The root's version.
        version: u64,
    },
    /// Older than the one that is known.
    #[error("revocation list {version} is older than {accepted}, which is known already")]
    Older {
        /// Its version.
        version: u64,
        /// The version that is known.
        accepted: u64,
    },
    /// It takes something back, and the root's keys did not sign.
    #[error("the revocation list no longer names {subject}, and only the root's keys may take that back")]
    Dropped {
        /// What it no longer names.
        subject: String,
    },
    /// Two lists of one version.
    #[error("there are two different revocation lists of version {version}, and the other one is known")]
    Equivocation {
        /// The version.
        version: u64,
    },
    /// It has expired.
    #[error("the revocation list expired at {expires}, and it is {now}")]
    Expired {
        /// When it expired.
        expires: Timestamp,
        /// The time that was taken as now.
        now: Timestamp,
    },
    /// Issued in the future.
    #[error("the revocation list was issued at {issued}, and here it is {now}")]
    IssuedAhead {
        /// When it says that it was issued.
        issued: Timestamp,
        /// The time that was taken as now.
        now: Timestamp,
    },
    /// A signer did not sign.
    #[error("signing the revocation list failed")]
    Sign(#[from] SignError),
}

impl RevocationError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Envelope(source) => source.code(),
            Self::Json(source) => source.code(),
            Self::Role(source) => source.code(),
            Self::Format(_) | Self::Form(_) => Code::Format,
            Self::TooMany => Code::Limit,
            Self::NoRevoker { .. } => Code::Scope,
            Self::Older { .. } | Self::Dropped { .. } => Code::RollbackRl,
            Self::Equivocation { .. } => Code::Equivocation,
            Self::Expired { .. } => Code::Expired,
            Self::IssuedAhead { .. } => Code::Clock,
            Self::Sign(_) => return None,
        })
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}
