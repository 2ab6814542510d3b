//! The claims that every token has (RFC 7519, section 4.1).

use jiff::Timestamp;
use serde::Deserialize;

use super::{LEEWAY, TokenError, shown};

/// Who issued it, for whom, and from when to when it holds.
#[derive(Clone, Debug, Deserialize)]
pub struct Registered {
    iss: String,
    #[serde(default)]
    aud: Audience,
    exp: Time,
    #[serde(default)]
    nbf: Option<Time>,
    #[serde(default)]
    iat: Option<Time>,
}

/// One audience, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// Seconds since 1970, with a fraction where the issuer likes that (RFC 7519, "NumericDate").
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Whole(i64),
    Fraction(f64),
}

impl Time {
    /// The second it falls into. What no clock can show is the end, or the beginning, of time.
    fn instant(self) -> Timestamp {
        let seconds = match self {
            Self::Whole(seconds) => seconds,
            #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and that is what is wanted")]
            Self::Fraction(seconds) => seconds as i64,
        };
        let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(seconds).unwrap_or(end)
    }
}

impl Registered {
    /// Checks issuer and audience, and that the token holds at `now`.
    ///
    /// # Errors
    /// [`TokenError::Issuer`], [`TokenError::Audience`], [`TokenError::Expired`], [`TokenError::NotYet`].
    pub fn check(&self, issuer: &str, audience: &str, now: Timestamp) -> Result<(), TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Issuer(shown(&self.iss)));
        }
        let audiences = match &self.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Several(several) => several,
        };
        if !audiences.iter().any(|found| found == audience) {
            return Err(TokenError::Audience(shown(&audiences.join(", "))));
        }
        self.check_time(now)
    }

    fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        if self.expires() <= now {
            return Err(TokenError::Expired(self.exp.instant()));
        }
        let begins = self.begins();
        if begins > now { Err(TokenError::NotYet(begins)) } else { Ok(()) }
    }

    /// The first instant at which it does not hold any more, with what clocks may differ by.
    pub fn expires(&self) -> Timestamp {
        self.exp.instant().saturating_add(LEEWAY).unwrap_or(Timestamp::MAX)
    }

    /// The first instant at which it holds: a token from the future is no better than one from the past.
    pub fn begins(&self) -> Timestamp {
        let latest = [self.nbf, self.iat].into_iter().flatten().map(Time::instant).max().unwrap_or(Timestamp::MIN);
        latest.saturating_sub(LEEWAY).unwrap_or(Timestamp::MIN)
    }
}
