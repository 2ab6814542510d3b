//! Tokens: what two people of a site sign together, since one alone must not decide it.
//!
//! A DSSE envelope around a short document that says what is decided, why, and until when it counts.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::dsse::{DsseError, Envelope};
use crate::format::{self, Format, UnknownFormat};
use crate::json::{self, Limits, jcs};
use crate::reason::Code;
use crate::role::{KeySet, RoleError};
use crate::signer::{SignError, Signer};
use crate::site::SiteRoot;

/// How many distinct keys must sign, whatever threshold their role has.
const PEOPLE: u32 = 2;

/// What a token says.
pub(crate) trait Content: Serialize + DeserializeOwned {
    /// What the envelope says it holds.
    const PAYLOAD_TYPE: &'static str;
    /// Its format.
    const FORMAT: &'static Format;

    /// The format that it says.
    fn format(&self) -> &str;

    /// From then on it is worth nothing.
    fn expires(&self) -> Timestamp;
}

/// Why a token is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the token's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a token.
    #[error("the token's content is malformed")]
    Json(#[from] json::Error),
    /// A format of another major version.
    #[error("the token is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// The role has too few keys: one person alone decides nothing.
    #[error("it takes two distinct keys of the site's approvers, or of its root where there are none")]
    TooFewKeys(#[source] RoleError),
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

impl TokenError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Envelope(source) => source.code(),
            Self::Json(source) => source.code(),
            Self::Format(_) => Code::Format,
            Self::TooFewKeys(_) => Code::Threshold,
            Self::Expired { .. } => Code::Expired,
            Self::Sign(_) => return None,
        })
    }
}

/// The token of `content`, signed by `signers`; others may sign after them.
pub(crate) fn sign<T: Content>(content: &T, signers: &[&dyn Signer]) -> Result<Vec<u8>, TokenError> {
    Ok(Envelope::sign(T::PAYLOAD_TYPE, &jcs::to_vec(content)?, signers)?.to_json()?)
}

/// Adds signatures to the token in `bytes`.
pub(crate) fn add_signatures<T: Content>(bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, TokenError> {
    read::<T>(bytes)?;
    let mut envelope = Envelope::from_json(bytes)?;
    envelope.add_signatures(signers)?;
    Ok(envelope.to_json()?)
}

/// What the token in `bytes` says, whoever signed it: for the next one who is to sign.
pub(crate) fn read<T: Content>(bytes: &[u8]) -> Result<T, TokenError> {
    parse(Envelope::from_json(bytes)?.unverified(T::PAYLOAD_TYPE)?)
}

/// What two people of `site` say, and the digest of what they signed. Whether it is about the matter at hand, and has not
/// expired, is for the caller to ask.
pub(crate) fn open<T: Content>(bytes: &[u8], site: &SiteRoot) -> Result<(T, Digest), TokenError> {
    let people = people(site).map_err(TokenError::TooFewKeys)?;
    let envelope = Envelope::from_json(bytes)?;
    let payload = envelope.verify(T::PAYLOAD_TYPE, &people)?;
    Ok((parse(payload)?, Digest::sha256(payload)))
}

/// Whether `content` still counts at the time `now`.
pub(crate) fn check_expiry<T: Content>(content: &T, now: Timestamp) -> Result<(), TokenError> {
    match content.expires() {
        expires if now >= expires => Err(TokenError::Expired { expires, now }),
        _ => Ok(()),
    }
}

fn parse<T: Content>(payload: &[u8]) -> Result<T, TokenError> {
    let content = format::read(payload, &Limits::DOCUMENT, T::FORMAT, T::format);
    content.map_err(|error| error.either(TokenError::Json, TokenError::Format))
}

/// The approvers of `site`, or the keyholders of its root where it has none, of whom at least two must sign.
fn people(site: &SiteRoot) -> Result<KeySet, RoleError> {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    KeySet::new(role.keys().values().cloned(), PEOPLE.max(role.threshold()))
}
