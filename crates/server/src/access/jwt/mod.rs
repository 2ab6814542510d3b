//! Tokens that others made, and our own: compact JWS (RFC 7515) with claims (RFC 7519), read strictly.
//!
//! The algorithm is what the key is for, and never only what the token says; `none` and shared secrets do not exist here.
//! Keys and addresses that stand in a token's header are not looked at.

mod claims;
mod jwks;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use claims::Registered;
pub use jwks::{Algorithm, Jwks, JwksError, LONGEST as LONGEST_KEYS};

/// Longest token that is looked at, in bytes.
pub const LONGEST: usize = 12 * 1024;

/// What clocks may differ by.
pub(crate) const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than anybody's.
    #[error("the token has more than {LONGEST} bytes")]
    TooLong,
    /// Not a signed token in compact form, or with claims of the wrong type.
    #[error("this is no signed token: {0}")]
    Malformed(&'static str),
    /// An algorithm that is not verified here, such as `none`, or another one than its key is for.
    #[error("the token's algorithm {0:?} is not one of its key")]
    Algorithm(String),
    /// It wants something to be understood that is not.
    #[error("the token demands extensions that are unknown here")]
    Critical,
    /// Signed with a key that the issuer does not have.
    #[error("the token's key {0:?} is none of its issuer's")]
    Key(String),
    /// Changed, or signed by somebody else.
    #[error("the token's signature does not fit")]
    Signature,
    /// Issued by somebody whom the registry does not believe.
    #[error("the token's issuer {0:?} is not believed here")]
    Issuer(String),
    /// Made for another service.
    #[error("the token is not for this registry, but for {0:?}")]
    Audience(String),
    /// Its time is over.
    #[error("the token has expired at {0}")]
    Expired(Timestamp),
    /// Its time has not come.
    #[error("the token is not valid before {0}")]
    NotYet(Timestamp),
    /// A claim that must be there is not, or says nothing useful.
    #[error("the token's claim {0:?} is missing, or of no use")]
    Claim(String),
    /// Whom it names is not known any more.
    #[error("{0} is not known any more")]
    Unknown(String),
}

/// A token that was taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// What is signed: header and payload as they came.
    message: &'a str,
}

/// The header (RFC 7515, section 4.1); what else stands there is of no interest.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// [`TokenError::TooLong`], [`TokenError::Malformed`] and [`TokenError::Critical`].
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let three = TokenError::Malformed("it has not three parts");
        let (message, signature) = token.rsplit_once('.').ok_or_else(|| three.clone())?;
        let (header, payload) = message.split_once('.').ok_or_else(|| three.clone())?;
        if payload.contains('.') {
            return Err(three);
        }
        let decode = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("a part is not base64 for URLs"))
        };
        let (header, payload) = (decode(header)?, decode(payload)?);
        // A list would be read as the fields in their order.
        if ![&header, &payload].iter().all(|part| part.starts_with(b"{")) {
            return Err(TokenError::Malformed("a part is no JSON object"));
        }
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| TokenError::Malformed("its header is not what it should be"))?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self { header, payload, signature: decode(signature)?, message })
    }

    /// Who says to have issued it: to choose the keys by which that is found out.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] and [`TokenError::Claim`].
    pub fn unverified_issuer(&self) -> Result<String, TokenError> {
        #[derive(Deserialize)]
        struct Issuer {
            #[serde(default)]
            iss: Option<String>,
        }
        let issuer: Issuer = Claims(&self.payload).read()?;
        issuer.iss.ok_or_else(|| TokenError::Claim("iss".into()))
    }

    /// Its claims, once one of `keys` has signed them.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`], [`TokenError::Key`], [`TokenError::Signature`].
    pub fn verify(&self, keys: &Jwks) -> Result<Claims<'_>, TokenError> {
        let Header { alg, kid, .. } = &self.header;
        let algorithm = Algorithm::of_name(alg).ok_or_else(|| TokenError::Algorithm(shown(alg)))?;
        let key = keys.key(kid.as_deref()).ok_or_else(|| TokenError::Key(shown(kid.as_deref().unwrap_or_default())))?;
        if !key.is_for(algorithm) {
            return Err(TokenError::Algorithm(shown(alg)));
        }
        if !key.verifies(algorithm, self.message.as_bytes(), &self.signature) {
            return Err(TokenError::Signature);
        }
        Ok(Claims(&self.payload))
    }
}

/// What an issuer has signed.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a>(&'a [u8]);

impl Claims<'_> {
    /// The claims as a `T`.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] where they are of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, TokenError> {
        serde_json::from_slice(self.0).map_err(|_| TokenError::Malformed("its claims are not what they should be"))
    }
}

/// The start of what somebody else wrote, for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
