//! What a node may fetch: the digests of the site's release, once the site's signature over it holds.
//!
//! The site root arrives with the first run, over a connection whose host key is pinned, and is kept. From then on only the
//! same one, or the next version signed under it, is believed.

use std::collections::BTreeSet;

use sealock_store::release::{self, Release};
use sealock_trust::dsse::{DsseError, Envelope};
use sealock_trust::json::{Limits, jcs};
use sealock_trust::reason::Code;
use sealock_trust::site::SiteRootError;
use sealock_trust::{Digest, SiteRoot};

use crate::host::{self, Host, HostError};
use crate::step::Mode;

/// Where the site root is kept.
pub(crate) const SITE_ROOT: &str = "/var/lib/sealock/node/site-root.json";
const SITE_ROOT_LIMIT: u64 = 1 << 20;

/// Why a release is not believed.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The site root is not one.
    #[error("the site root that the operator sent is not valid")]
    SiteRoot(#[source] SiteRootError),
    /// The site root that the host keeps was changed.
    #[error("{SITE_ROOT} is damaged")]
    KeptSiteRoot(#[source] SiteRootError),
    /// The host believes another site.
    #[error("the host believes site root {kept}, and the operator sent {sent}, which does not follow it")]
    OtherSiteRoot {
        /// Fingerprint of the one that the host keeps.
        kept: Digest,
        /// Fingerprint of the one that the operator sent.
        sent: Digest,
        /// Why it does not follow.
        #[source]
        source: SiteRootError,
    },
    /// The release is not signed by the site.
    #[error("the release is not signed by site {site}")]
    Signature {
        /// The site's id.
        site: String,
        /// Why not.
        #[source]
        source: DsseError,
    },
    /// The release is not one.
    #[error("the release cannot be read: {0}")]
    Release(String),
}

impl AdmissionError {
    /// True where trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Host(_) => None,
            Self::SiteRoot(source) | Self::KeptSiteRoot(source) => source.code().or(Some(Code::Format)),
            Self::OtherSiteRoot { .. } => Some(Code::NotEnrolled),
            Self::Signature { source, .. } => Some(source.code()),
            Self::Release(_) => Some(Code::Format),
        }
    }
}

/// The digests of all that `release` names, if `site_root` is believed and has signed it.
pub fn admit(host: &dyn Host, site_root: &[u8], release: &[u8]) -> Result<BTreeSet<Digest>, AdmissionError> {
    let site_root = believe(host, site_root)?;
    let signature = |source| AdmissionError::Signature { site: site_root.id().to_string(), source };
    let envelope = Envelope::from_json(release).map_err(signature)?;
    let payload = envelope.verify(release::PAYLOAD_TYPE, site_root.site_keys()).map_err(signature)?;
    let release: Release =
        jcs::from_slice(payload, &Limits::MANIFEST).map_err(|error| AdmissionError::Release(error.to_string()))?;
    if !release.format.starts_with("release/1.") {
        return Err(AdmissionError::Release(format!("this version does not know format {}", release.format)));
    }
    Ok(release.references.into_iter().map(|reference| reference.digest).collect())
}

/// Whether the host keeps a site root by which `sent` is believed: without one, whoever brings the first decides. Nothing is changed.
///
/// # Errors
/// The host keeps one that `sent` does not follow.
pub fn is_known(host: &dyn Host, sent: &[u8]) -> Result<bool, AdmissionError> {
    let kept = host::read(host, SITE_ROOT, SITE_ROOT_LIMIT)?;
    judge(kept.as_deref(), sent)?;
    Ok(kept.is_some())
}

/// The site root `sent`, if it is the one that the host keeps, or follows it; the host keeps it then.
fn believe(host: &dyn Host, sent: &[u8]) -> Result<SiteRoot, AdmissionError> {
    let kept = host::read(host, SITE_ROOT, SITE_ROOT_LIMIT)?;
    let root = judge(kept.as_deref(), sent)?;
    if kept.as_deref() == Some(sent) {
        return Ok(root);
    }
    let folder = host::Alteration::MakeDirectory { path: host::parent(SITE_ROOT), mode: Mode::new(0o700) };
    host.alter(folder)?;
    host::write(host, SITE_ROOT, Mode::PRIVATE, sent)?;
    Ok(root)
}

fn judge(kept: Option<&[u8]>, sent: &[u8]) -> Result<SiteRoot, AdmissionError> {
    match kept {
        Some(kept) if kept == sent => SiteRoot::open(sent).map_err(AdmissionError::SiteRoot),
        Some(kept) => {
            let kept = SiteRoot::open(kept).map_err(AdmissionError::KeptSiteRoot)?;
            kept.accept_next(sent).map_err(|source| AdmissionError::OtherSiteRoot {
                kept: kept.fingerprint(),
                sent: Digest::sha256(sent),
                source,
            })
        }
        None => SiteRoot::open(sent).map_err(AdmissionError::SiteRoot),
    }
}
