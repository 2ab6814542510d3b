//! Why a bundle was not imported.

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_store::StoreError;
use sealock_trust::break_glass::BreakGlassError;
use sealock_trust::directory::DirectoryError;
use sealock_trust::reason::Code;
use sealock_trust::receipt::ReceiptError;
use sealock_trust::{Digest, Justification, StreamName};

use crate::archive::ArchiveError;
use crate::delta::BaseMissing;
use crate::patch::PatchError;
use crate::verify::VerifyError;

/// Why a bundle was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bundle is not believed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The trust directory refused, or failed.
    #[error(transparent)]
    Trust(#[from] DirectoryError),
    /// The store refused, or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bundle is a delta, and the site lacks something of its base.
    #[error(transparent)]
    Base(Box<BaseMissing>),
    /// The base of a patch is there, but no longer what it was.
    #[error("{base} in the store is damaged, and {blob} is to be made of it")]
    BaseDamaged {
        /// What cannot be made.
        blob: Digest,
        /// What it is made of.
        base: Digest,
    },
    /// A patch does not make the layer that the manifest promises, or could not be worked out.
    #[error("the layer {blob} was not made")]
    Patch {
        /// The layer.
        blob: Digest,
        /// What is wrong.
        source: PatchError,
    },
    /// The receipt could not be made.
    #[error("the receipt for the bundle could not be made")]
    Receipt(#[from] ReceiptError),
    /// The bundle is too old by a clock that may be wrong.
    #[error(
        "the clock says {clock}, far ahead of the latest bundle's {floor}: if that is the time, say so with --confirm-clock"
    )]
    ClockAhead {
        /// What the clock says.
        clock: Timestamp,
        /// The latest time that others have signed.
        floor: Timestamp,
        /// What the clock would make of the bundle.
        source: Box<ImportError>,
    },
    /// The bundle is older than the site lets pass without a word.
    #[error("newer bundles were due by {since}, and this site takes an older one until {until} only")]
    Stale {
        /// Its soft expiry.
        since: Timestamp,
        /// The end of the site's grace.
        until: Timestamp,
    },
    /// It holds something that its publisher has revoked.
    #[error("{what} was revoked at {since}: {reason}")]
    Revoked {
        /// What was revoked.
        what: String,
        /// Why.
        reason: Justification,
        /// When.
        since: Timestamp,
    },
    /// The stream was rolled back, and is held.
    #[error("the site holds {stream} at {sequence}: newer bundles of it stay out until that ends")]
    Held {
        /// The stream.
        stream: StreamName,
        /// The sequence that it is held at.
        sequence: u64,
    },
    /// The token does not help.
    #[error("the token does not break the glass for this bundle")]
    BreakGlass(#[from] BreakGlassError),
    /// A bundle in volumes is to be imported in place.
    #[error("a bundle in volumes cannot be imported in place: it is no file that the store could serve from")]
    InVolumes,
    /// A delta is to be imported in place.
    #[error("a delta cannot be imported in place: it does not carry all that it brings")]
    DeltaInPlace,
    /// The filesystem of the store is too small.
    #[error("{path} has room for {free} bytes, and the bundle brings {needed}", path = .path.display())]
    NoRoom {
        /// The folder of the store.
        path: PathBuf,
        /// Bytes of the blobs that are not there yet.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl From<BaseMissing> for ImportError {
    fn from(error: BaseMissing) -> Self {
        Self::Base(Box::new(error))
    }
}

impl From<ArchiveError> for ImportError {
    fn from(error: ArchiveError) -> Self {
        Self::Verify(error.into())
    }
}

impl ImportError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Verify(source) => source.code(),
            Self::Trust(source) => source.code(),
            Self::Store(source) => source.code(),
            Self::Base(source) => source.code(),
            Self::BaseDamaged { .. } => Some(Code::BaseMissing),
            Self::Patch { source, .. } => (!source.is_environment()).then_some(Code::Patch),
            Self::Receipt(source) => source.code(),
            Self::ClockAhead { .. } => Some(Code::Clock),
            Self::Stale { .. } => Some(Code::Stale),
            Self::Revoked { .. } => Some(Code::Revoked),
            Self::Held { .. } => Some(Code::Held),
            Self::BreakGlass(source) => source.code(),
            Self::InVolumes | Self::DeltaInPlace | Self::NoRoom { .. } => None,
        }
    }

    /// Whether the bundle is untrusted or invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Verify(source) => source.is_environment(),
            Self::Trust(source) => matches!(source, DirectoryError::Io { .. }),
            Self::Store(source) => source.is_environment(),
            Self::Base(source) => source.is_environment(),
            Self::Patch { source, .. } => source.is_environment(),
            Self::BaseDamaged { .. }
            | Self::Receipt(_)
            | Self::ClockAhead { .. }
            | Self::Stale { .. }
            | Self::Revoked { .. }
            | Self::Held { .. }
            | Self::BreakGlass(_)
            | Self::InVolumes
            | Self::DeltaInPlace => false,
            Self::NoRoom { .. } => true,
        }
    }
}
