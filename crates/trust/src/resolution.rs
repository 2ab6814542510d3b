//! Going on with an older copy of the trust state: two people of the site say that they know why it is there.
//!
//! A DSSE envelope that names the copy and the mirror that told of it, with an expiry and a reason.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::break_glass::people;
use crate::digest::Digest;
use crate::directory::Mirror;
use crate::dsse::{DsseError, Envelope};
use crate::json::{self, Limits, jcs};
use crate::names::{Justification, SiteId};
use crate::reason::Code;
use crate::role::RoleError;
use crate::signer::{SignError, Signer};
use crate::site::SiteRoot;
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.resolve-state.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = "resolve-state/1.0";

/// What two people settle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveState {
    format: String,
    /// The site.
    pub site: SiteId,
    /// The generation that the state has come back with.
    pub found: u64,
    /// The mirror that told.
    pub mirror: Mirror,
    /// From then on the token is worth nothing.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// Why the older copy is there.
    pub reason: Justification,
}

/// Why a token is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the token's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a token.
    #[error("the token's content is malformed")]
    Json(#[from] json::Error),
    /// A format of another major version.
    #[error("the format is {0:?}, and only resolve-state/1 is known")]
    Format(String),
    /// The role has too few keys: one person alone forgets nothing.
    #[error("it takes two distinct keys of the site's approvers, or of its root where there are none")]
    TooFewKeys(#[source] RoleError),
    /// For another copy, another mirror or another site.
    #[error("the token is for generation {found} at the site {site}, of which {} knew generation {}", mirror.place, mirror.generation)]
    Other {
        /// The site that it names.
        site: SiteId,
        /// The copy that it names.
        found: u64,
        /// The mirror that it names.
        mirror: Mirror,
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

impl ResolveError {
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

impl ResolveState {
    /// What the people of `site` are to sign: that the state of generation `found` counts, although `mirror` knows another.
    pub fn new(site: SiteId, (found, mirror): (u64, Mirror), expires: Timestamp, reason: Justification) -> Self {
        Self { format: FORMAT.to_owned(), site, found, mirror, expires, reason }
    }

    /// The token, signed by `signers`; others may sign after them.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn sign(&self, signers: &[&dyn Signer]) -> Result<Vec<u8>, ResolveError> {
        Ok(Envelope::sign(PAYLOAD_TYPE, &jcs::to_vec(self)?, signers)?.to_json()?)
    }

    /// Adds signatures to the token in `bytes`.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn add_signatures(bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, ResolveError> {
        Self::read(bytes)?;
        let mut envelope = Envelope::from_json(bytes)?;
        envelope.add_signatures(signers)?;
        Ok(envelope.to_json()?)
    }

    /// What the token in `bytes` says, whoever signed it: for the next one who is to sign.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ResolveError> {
        Self::parse(Envelope::from_json(bytes)?.unverified(PAYLOAD_TYPE)?)
    }

    /// What two people of `site` say at the time `now`, and the digest of what they signed.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn verify(bytes: &[u8], site: &SiteRoot, now: Timestamp) -> Result<(Self, Digest), ResolveError> {
        let envelope = Envelope::from_json(bytes)?;
        let payload = envelope.verify(PAYLOAD_TYPE, &people(site).map_err(ResolveError::TooFewKeys)?)?;
        let content = Self::parse(payload)?;
        if content.site != *site.id() {
            return Err(content.refused_as_another());
        }
        if now >= content.expires {
            return Err(ResolveError::Expired { expires: content.expires, now });
        }
        Ok((content, Digest::sha256(payload)))
    }

    /// The refusal of a token that does not fit.
    pub(crate) fn refused_as_another(self) -> ResolveError {
        ResolveError::Other { site: self.site, found: self.found, mirror: self.mirror }
    }

    fn parse(payload: &[u8]) -> Result<Self, ResolveError> {
        let content: Self = jcs::from_slice(payload, &Limits::DOCUMENT)?;
        if content.format.split('.').next() != FORMAT.split('.').next() {
            return Err(ResolveError::Format(content.format));
        }
        Ok(content)
    }
}
