//! Why a delta cannot be made, or cannot be taken in.

use sealock_store::StoreError;
use sealock_trust::directory::DirectoryError;
use sealock_trust::reason::Code;
use sealock_trust::receipt::ReceiptError;
use sealock_trust::{Digest, SiteId};

use super::want::{WantError, WantList};
use crate::lock::LockError;
use crate::manifest::ManifestError;
use crate::media::Mismatch;

/// Why a delta cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The receipt is not believed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt speaks for another site than its signer.
    #[error("the receipt is signed by the site {signer}, and speaks for {site}")]
    OtherSite {
        /// The site whose keys signed.
        signer: SiteId,
        /// The site that the receipt names.
        site: SiteId,
    },
    /// The bundle is not for the site that gave the receipt.
    #[error("the receipt is from the site {site}, and the bundle is for {}", list(.sites))]
    Audience {
        /// The site.
        site: SiteId,
        /// The sites that the bundle is for.
        sites: Vec<SiteId>,
    },
    /// Manifests that the site holds are not at hand, so what is in them is not known.
    #[error("the site holds {} whose manifest is not at hand: {}", bundles(.missing.len()), digests(.missing))]
    BaseUnknown {
        /// The digests of the manifests.
        missing: Vec<Digest>,
    },
    /// Nothing could be left out.
    #[error("the site {site} holds nothing of this bundle, so there is no delta")]
    NothingHeld {
        /// The site.
        site: SiteId,
    },
    /// The want-list is of another site, stream or sequence, or asks for what the lock does not have.
    #[error("the want-list does not belong to this delta: {0}")]
    OtherWant(String),
    /// The want-list cannot be read.
    #[error(transparent)]
    Want(#[from] WantError),
    /// A manifest that the site holds cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl DeltaError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Receipt(source) => source.code(),
            Self::OtherSite { .. } | Self::OtherWant(_) => Some(Code::Subject),
            Self::Audience { .. } => Some(Code::Audience),
            Self::Want(source) => Some(source.code()),
            Self::Manifest(source) => Some(source.code()),
            Self::Lock(source) => Some(source.code()),
            Self::BaseUnknown { .. } | Self::NothingHeld { .. } => None,
        }
    }

    /// Whether what was given is untrusted or invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BaseUnknown { .. } => Some(
                "Give each with --base: the bundle's file, its manifest.json, or a folder of manifests; or build without --since, which carries everything",
            ),
            Self::NothingHeld { .. } => Some("Build without --since"),
            _ => None,
        }
    }
}

/// Why the base of a delta could not be found whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseMissing {
    /// Blobs that the delta relies on are not in the store.
    #[error("{}", lacking(.0))]
    Blobs(Box<WantList>),
    /// A blob is at the site, and is something else than the delta says.
    #[error("{digest} {mismatch}")]
    TypeMismatch {
        /// The blob.
        digest: Digest,
        /// What it should be, and is.
        mismatch: Mismatch,
    },
    /// The store failed, or holds what it should not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trust directory failed.
    #[error(transparent)]
    Trust(#[from] DirectoryError),
}

impl BaseMissing {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Blobs(_) => Some(Code::BaseMissing),
            Self::TypeMismatch { .. } => Some(Code::TypeMismatch),
            Self::Store(source) => source.code(),
            Self::Trust(source) => source.code(),
        }
    }

    /// Whether the delta cannot be taken in here, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Blobs(_) | Self::TypeMismatch { .. } => false,
            Self::Store(source) => source.is_environment(),
            Self::Trust(source) => matches!(source, DirectoryError::Io { .. }),
        }
    }

    /// What the site wants, where that is the trouble.
    pub fn want_list(&self) -> Option<&WantList> {
        match self {
            Self::Blobs(list) => Some(list),
            Self::TypeMismatch { .. } | Self::Store(_) | Self::Trust(_) => None,
        }
    }
}

fn list(sites: &[SiteId]) -> String {
    let sites: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
    sites.join(", ")
}

fn digests(missing: &[Digest]) -> String {
    let digests: Vec<String> = missing.iter().map(Digest::to_string).collect();
    digests.join(", ")
}

fn bundles(count: usize) -> String {
    if count == 1 { "a bundle".to_owned() } else { format!("{count} bundles") }
}

fn lacking(list: &WantList) -> String {
    let missing = |blob: &super::WantedBlob| blob.base.as_ref().unwrap_or(&blob.digest).to_string();
    let first = list.blobs.first().map(missing).unwrap_or_default();
    match list.blobs.len() {
        1 if list.blobs.iter().any(|blob| blob.base.is_some()) => {
            format!("a blob that the delta builds on is not at this site, or damaged: {first}")
        }
        1 => format!("a blob that the delta builds on is not at this site: {first}, {} bytes", list.size()),
        count => format!(
            "{count} blobs that the delta builds on are not at this site, {} bytes together; the first is {first}",
            list.size()
        ),
    }
}
