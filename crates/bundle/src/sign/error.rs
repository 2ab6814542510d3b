//! Why a bundle cannot be signed.

use sealock_trust::reason::Code;
use sealock_trust::request::RequestError;
use sealock_trust::tuf::{MakeError, TrustError};

use crate::archive::ArchiveError;

/// Why a bundle cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignBundleError {
    /// The file is no whole bundle, or cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The metadata that the bundle has cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A signature could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A signing request or a signature file is not fit.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A signing request whose metadata and manifest disagree.
    #[error("the request does not ask for what its manifest says: {0} differ")]
    OtherTerms(&'static str),
    /// A vendor is asked to vouch for something that is no artifact's name.
    #[error("the request asks to vouch for {0:?}, which is no artifact's name")]
    NoName(String),
}

impl SignBundleError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Archive(source) => source.code(),
            Self::Trust(source) => Some(source.code()),
            Self::Make(MakeError::OtherContent(_)) | Self::OtherTerms(_) => Some(Code::Subject),
            Self::Make(MakeError::NotVendor { .. }) => Some(Code::Scope),
            Self::Make(_) => None,
            Self::Request(source) => source.code(),
            Self::NoName(_) => Some(Code::Format),
        }
    }

    /// Whether the file or the keys are not fit, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Archive(source) => source.is_refusal(),
            Self::Trust(source) => source.is_refusal(),
            Self::Make(source) => source.is_refusal(),
            Self::Request(source) => source.is_refusal(),
            Self::OtherTerms(_) | Self::NoName(_) => true,
        }
    }
}
