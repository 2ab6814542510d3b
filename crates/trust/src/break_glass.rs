//! Breaking the glass: two people of the site let one bundle in that would be refused for its age, its audience or a gap.
//!
//! A DSSE envelope that names one manifest, an expiry and a reason. It never helps against a signature or a digest.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::{DsseError, Envelope};
use crate::format::{self, UnknownFormat};
use crate::json::{self, Limits, jcs};
use crate::names::{Justification, SiteId};
use crate::reason::Code;
use crate::role::{KeySet, RoleError};
use crate::signer::{SignError, Signer};
use crate::site::SiteRoot;
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.break-glass.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = format::BREAK_GLASS.current;

/// How many distinct keys must sign, whatever threshold their role has.
const PEOPLE: u32 = 2;

/// What two people let pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    format: String,
    /// The site that lets it pass.
    pub site: SiteId,
    /// The manifest of the one bundle.
    pub manifest: Digest,
    /// From then on the token is worth nothing.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// Why.
    pub reason: Justification,
}

/// A token that two people of the site have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it lets pass.
    pub content: BreakGlass,
    /// The digest of the signed content, under which its use is remembered.
    pub digest: Digest,
}

/// Why a token is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BreakGlassError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the token's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a token.
    #[error("the token's content is malformed")]
    Json(#[from] json::Error),
    /// A format of another major version.
    #[error("the token is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// The role has too few keys: one person alone breaks no glass.
    #[error("it takes {PEOPLE} distinct keys of the site's approvers, or of its root where there are none")]
    TooFewKeys(#[source] RoleError),
    /// For another bundle, or another site.
    #[error("the token lets {manifest} in at the site {site}")]
    Other {
        /// The manifest that it names.
        manifest: Digest,
        /// The site that it names.
        site: SiteId,
    },
    /// It has expired.
    #[error("the token expired at {expires}, and it is {now}")]
    Expired {
        /// When it expired.
        expires: Timestamp,
        /// The time that was taken as now.
        now: Timestamp,
    },
    /// A signer did not sign.
    #[error("signing the token failed")]
    Sign(#[from] SignError),
}

impl BreakGlassError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Envelope(source) => source.code(),
            Self::Json(source) => source.code(),
            Self::Format(_) => Code::Format,
            Self::TooFewKeys(_) => Code::Threshold,
            Self::Other { .. } => Code::Subject,
            Self::Expired { .. } => Code::Expired,
            Self::Sign(_) => return None,
        })
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}

impl BreakGlass {
    /// What the people of `site` are to sign.
    pub fn new(site: SiteId, manifest: Digest, expires: Timestamp, reason: Justification) -> Self {
        Self { format: FORMAT.to_owned(), site, manifest, expires, reason }
    }

    /// The token, signed by `signers`; others may sign after them.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn sign(&self, signers: &[&dyn Signer]) -> Result<Vec<u8>, BreakGlassError> {
        let payload = jcs::to_vec(self)?;
        Ok(Envelope::sign(PAYLOAD_TYPE, &payload, signers)?.to_json()?)
    }

    /// What the token in `bytes` says, whoever signed it: for the next one who is to sign.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn read(bytes: &[u8]) -> Result<Self, BreakGlassError> {
        Self::parse(Envelope::from_json(bytes)?.unverified(PAYLOAD_TYPE)?)
    }

    fn parse(payload: &[u8]) -> Result<Self, BreakGlassError> {
        let content = format::read(payload, &Limits::DOCUMENT, format::BREAK_GLASS, |one: &Self| &one.format);
        content.map_err(|error| error.either(BreakGlassError::Json, BreakGlassError::Format))
    }
}

impl Token {
    /// Adds signatures to a token.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn add_signatures(bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, BreakGlassError> {
        BreakGlass::read(bytes)?;
        let mut envelope = Envelope::from_json(bytes)?;
        envelope.add_signatures(signers)?;
        Ok(envelope.to_json()?)
    }

    /// Whether two people of `site` let the bundle with this `manifest` in, at the time `now`.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn verify(bytes: &[u8], site: &SiteRoot, manifest: &Digest, now: Timestamp) -> Result<Self, BreakGlassError> {
        let people = people(site).map_err(BreakGlassError::TooFewKeys)?;
        let envelope = Envelope::from_json(bytes)?;
        let payload = envelope.verify(PAYLOAD_TYPE, &people)?;
        let content = BreakGlass::parse(payload)?;
        if content.manifest != *manifest || content.site != *site.id() {
            return Err(BreakGlassError::Other { manifest: content.manifest, site: content.site });
        }
        if now >= content.expires {
            return Err(BreakGlassError::Expired { expires: content.expires, now });
        }
        let digest = Digest::sha256(payload);
        Ok(Self { content, digest })
    }
}

/// The approvers of `site`, or the keyholders of its root where it has none, of whom at least two must sign.
pub(crate) fn people(site: &SiteRoot) -> Result<KeySet, RoleError> {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    KeySet::new(role.keys().values().cloned(), PEOPLE.max(role.threshold()))
}
