//! Breaking the glass: two people of the site let one bundle in that would be refused for its age, its audience or a gap.
//!
//! A DSSE envelope that names one manifest, an expiry and a reason. It never helps against a signature or a digest.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::format::{self, Format};
use crate::names::{Justification, SiteId};
use crate::reason::Code;
use crate::signer::Signer;
use crate::site::SiteRoot;
use crate::token::{self, Content, TokenError};
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.break-glass.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = format::BREAK_GLASS.current;

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
    /// It is no token that counts, whatever it lets pass.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// For another bundle, or another site.
    #[error("the token lets {manifest} in at the site {site}")]
    Other {
        /// The manifest that it names.
        manifest: Digest,
        /// The site that it names.
        site: SiteId,
    },
}

impl BreakGlassError {
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

impl Content for BreakGlass {
    const PAYLOAD_TYPE: &'static str = PAYLOAD_TYPE;
    const FORMAT: &'static Format = format::BREAK_GLASS;

    fn format(&self) -> &str {
        &self.format
    }

    fn expires(&self) -> Timestamp {
        self.expires
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
        Ok(token::sign(self, signers)?)
    }

    /// What the token in `bytes` says, whoever signed it: for the next one who is to sign.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn read(bytes: &[u8]) -> Result<Self, BreakGlassError> {
        Ok(token::read(bytes)?)
    }
}

impl Token {
    /// Adds signatures to a token.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn add_signatures(bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, BreakGlassError> {
        Ok(token::add_signatures::<BreakGlass>(bytes, signers)?)
    }

    /// Whether two people of `site` let the bundle with this `manifest` in, at the time `now`.
    ///
    /// # Errors
    /// [`BreakGlassError`].
    pub fn verify(bytes: &[u8], site: &SiteRoot, manifest: &Digest, now: Timestamp) -> Result<Self, BreakGlassError> {
        let (content, digest) = token::open::<BreakGlass>(bytes, site)?;
        if content.manifest != *manifest || content.site != *site.id() {
            return Err(BreakGlassError::Other { manifest: content.manifest, site: content.site });
        }
        token::check_expiry(&content, now)?;
        Ok(Self { content, digest })
    }
}
