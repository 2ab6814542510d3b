//! Why a bundle is not believed.

use sealock_trust::reason::Code;
use sealock_trust::revocation::RevocationError;
use sealock_trust::tuf::TrustError;
use sealock_trust::{Digest, RoleName, SiteId};

use crate::archive::ArchiveError;

/// Why a bundle is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file is damaged, or not formed as a bundle is.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nobody has signed it.
    #[error("the bundle carries no signature")]
    Unsigned,
    /// Signatures, root chain, sequence or expiry do not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manifest and the metadata that vouches for it say different things.
    #[error("the manifest and its signed metadata disagree about the {what}")]
    Disagreement {
        /// About what.
        what: &'static str,
    },
    /// The vendor whom the publisher delegated a name to does not vouch for it.
    #[error("{name} is for the vendor {vendor} to vouch for, who does not")]
    VendorSilent {
        /// The vendor's role.
        vendor: RoleName,
        /// The artifact's name.
        name: String,
    },
    /// The vendor vouches for other content under this name.
    #[error("the vendor {vendor} vouches for other content of {name} than the bundle carries")]
    VendorContent {
        /// The vendor's role.
        vendor: RoleName,
        /// The artifact's name.
        name: String,
    },
    /// The revocation list that it carries is not believed.
    #[error("the revocation list in the bundle is not believed")]
    Revocations(#[from] RevocationError),
    /// The revocation list that it carries is of another publisher.
    #[error("the revocation list in the bundle is of a publisher with the root {root}, which is none of this one's")]
    OthersList {
        /// The root that the list names.
        root: Digest,
    },
    /// It follows another bundle than the one that was accepted.
    #[error(
        "sequence {sequence} follows {named}, and {accepted} was accepted: two bundles were signed under sequence {}",
        .sequence.saturating_sub(1)
    )]
    OtherPrevious {
        /// The bundle's sequence.
        sequence: u64,
        /// The manifest that it says it follows.
        named: Digest,
        /// The manifest that was accepted.
        accepted: Digest,
    },
    /// It is for other sites.
    #[error("the bundle is for {}, and this is {site}", list(.sites))]
    Audience {
        /// This site.
        site: SiteId,
        /// The sites that it is for.
        sites: Vec<SiteId>,
    },
    /// It is for sites of another classification.
    #[error("the bundle is classified {bundle:?}, and site {site} {}", classified(.of_site.as_deref()))]
    Classification {
        /// This site.
        site: SiteId,
        /// The bundle's classification.
        bundle: String,
        /// The site's.
        of_site: Option<String>,
    },
}

impl VerifyError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Archive(source) => source.code(),
            Self::Unsigned | Self::VendorSilent { .. } => Some(Code::Unsigned),
            Self::Trust(source) => Some(source.code()),
            Self::Disagreement { .. } | Self::VendorContent { .. } => Some(Code::Subject),
            Self::Revocations(source) => source.code(),
            Self::OthersList { .. } => Some(Code::Scope),
            Self::OtherPrevious { .. } => Some(Code::Equivocation),
            Self::Audience { .. } | Self::Classification { .. } => Some(Code::Audience),
        }
    }

    /// Whether the bundle is untrusted or invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Archive(source) if source.is_environment())
    }
}

fn list(sites: &[SiteId]) -> String {
    let sites: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
    if sites.is_empty() { "no site".to_owned() } else { sites.join(", ") }
}

fn classified(classification: Option<&str>) -> String {
    classification.map_or_else(|| "has no classification".to_owned(), |text| format!("is classified {text:?}"))
}
