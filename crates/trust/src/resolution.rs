//! Going on with an older copy of the trust state: two people of the site say that they know why it is there.
//!
//! A DSSE envelope that names the copy and the mirror that told of it, with an expiry and a reason.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::directory::Mirror;
use crate::format::{self, Format};
use crate::names::{Justification, SiteId};
use crate::reason::Code;
use crate::signer::Signer;
use crate::site::SiteRoot;
use crate::token::{self, Content, TokenError};
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.resolve-state.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = format::RESOLVE_STATE.current;

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
    /// It is no token that counts, whatever it settles.
    #[error(transparent)]
    Token(#[from] TokenError),
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
}

impl ResolveError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Token(source) => source.code(),
            Self::Other { .. } => Some(Code::Subject),
        }
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}

impl Content for ResolveState {
    const PAYLOAD_TYPE: &'static str = PAYLOAD_TYPE;
    const FORMAT: &'static Format = format::RESOLVE_STATE;

    fn format(&self) -> &str {
        &self.format
    }

    fn expires(&self) -> Timestamp {
        self.expires
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
        Ok(token::sign(self, signers)?)
    }

    /// Adds signatures to the token in `bytes`.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn add_signatures(bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, ResolveError> {
        Ok(token::add_signatures::<Self>(bytes, signers)?)
    }

    /// What the token in `bytes` says, whoever signed it: for the next one who is to sign.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ResolveError> {
        Ok(token::read(bytes)?)
    }

    /// What two people of `site` say at the time `now`, and the digest of what they signed.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn verify(bytes: &[u8], site: &SiteRoot, now: Timestamp) -> Result<(Self, Digest), ResolveError> {
        let (content, digest) = token::open::<Self>(bytes, site)?;
        if content.site != *site.id() {
            return Err(content.refused_as_another());
        }
        token::check_expiry(&content, now)?;
        Ok((content, digest))
    }

    /// The refusal of a token that does not fit.
    pub(crate) fn refused_as_another(self) -> ResolveError {
        ResolveError::Other { site: self.site, found: self.found, mirror: self.mirror }
    }
}
