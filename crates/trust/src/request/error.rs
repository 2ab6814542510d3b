//! Why a signing request, a signature file or a draft is refused.

use crate::digest::Digest;
use crate::format::UnknownFormat;
use crate::json;
use crate::key::KeyId;
use crate::reason::Code;
use crate::role::RoleError;
use crate::signer::SignError;
use crate::tuf::{MakeError, TrustError};

/// Why a signing request, a signature file or a draft is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not canonical JSON with the fields of its format.
    #[error("it is not canonical JSON with the fields of its format")]
    Json(#[from] json::Error),
    /// Another format, or a major version that is not known here.
    #[error("it is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Fields that do not belong together, or files other than those that are to be signed.
    #[error("it has not the fields and files that belong to its kind")]
    Fields,
    /// There is no root under which a bundle could be signed.
    #[error("there is no root to sign under")]
    NoRoot,
    /// A metadata file that is not believed or not well-formed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The content could not be made for comparison.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A role that can't be filled.
    #[error("a role cannot be filled")]
    Role(#[from] RoleError),
    /// What is to be signed says something else than what is shown of it.
    #[error("{0} does not say what the manifest beside it says")]
    OtherContent(&'static str),
    /// A key that is in none of the roles that are asked.
    #[error("the key {keyid} has no say here: it is none of the {roles}")]
    NoSay {
        /// The key's id.
        keyid: KeyId,
        /// The roles that are asked.
        roles: String,
    },
    /// A signature that was made for another request.
    #[error("the signature by {keyid} answers the request {found}, and this is {expected}")]
    Stale {
        /// The signer.
        keyid: KeyId,
        /// The request it answers.
        found: Digest,
        /// This request.
        expected: Digest,
    },
    /// A signature that does not fit.
    #[error("the signature of {file} by {keyid} does not fit")]
    Invalid {
        /// The signer.
        keyid: KeyId,
        /// The signed file.
        file: String,
    },
    /// A key of a scheme that cannot be checked here.
    #[error("the key {keyid} is of the unknown scheme {scheme:?}, so its signature cannot be checked")]
    UnknownScheme {
        /// The signer.
        keyid: KeyId,
        /// Its scheme.
        scheme: String,
    },
    /// One key, and two signatures by it.
    #[error("the key {keyid} has signed already, with another signature")]
    Duplicate {
        /// The signer.
        keyid: KeyId,
    },
    /// Signatures for something else than this target.
    #[error("the draft is for another root than the finished one beside it")]
    OtherRoot,
    /// A signer did not sign.
    #[error("signing failed")]
    Sign(#[from] SignError),
}

impl RequestError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Json(source) => source.code(),
            Self::Format(_) | Self::Fields | Self::NoRoot => Code::Format,
            Self::Trust(source) => source.code(),
            Self::Make(MakeError::OtherContent(_)) | Self::OtherContent(_) | Self::Stale { .. } => Code::Subject,
            Self::Role(source) => source.code(),
            Self::NoSay { .. } => Code::Scope,
            Self::Invalid { .. } => Code::Sig,
            Self::UnknownScheme { .. } => Code::Alg,
            Self::Duplicate { .. } => Code::Duplicate,
            Self::OtherRoot => Code::Equivocation,
            Self::Make(_) | Self::Sign(_) => return None,
        })
    }

    /// Whether the input is at fault, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}
