//! What a request says about who sends it (RFC 9110, section 11; RFC 7617; RFC 6750).

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Padding or not: clients differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Longest name and password together, in bytes; a token may be the password.
const LONGEST: usize = 16 * 1024;

/// The user whose password is a token of an identity provider or a cluster.
pub const TOKEN_USER: &str = "token";

/// What the names of robots begin with when they log in.
pub const ROBOT_PREFIX: &str = "robot+";

/// Who somebody says to be.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password.
    Password {
        /// As it was sent.
        name: String,
        /// As it was sent.
        password: String,
    },
    /// A token, ours or an issuer's.
    Token(String),
}

/// What stands where credentials should cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// More than one header.
    #[error("the request has more than one authorization")]
    Several,
    /// Neither Basic nor Bearer.
    #[error("the authorization is neither Basic nor Bearer")]
    Scheme,
    /// Basic without a name and a password in base64.
    #[error("the authorization is no name and password in base64")]
    Basic,
}

impl Credentials {
    /// The credentials in the header of a request; none where it has none.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, CredentialsError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (values.next(), values.next());
        let Some(value) = first else { return Ok(None) };
        if second.is_some() {
            return Err(CredentialsError::Several);
        }
        Self::parse(value.to_str().map_err(|_| CredentialsError::Scheme)?).map(Some)
    }

    /// Reads the value of an `Authorization` header.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn parse(value: &str) -> Result<Self, CredentialsError> {
        let (scheme, rest) = value.trim().split_once(' ').ok_or(CredentialsError::Scheme)?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Token(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(CredentialsError::Scheme);
        }
        if rest.len() > STANDARD_LONGEST {
            return Err(CredentialsError::Basic);
        }
        let decoded = LENIENT.decode(rest).map_err(|_| CredentialsError::Basic)?;
        let text = String::from_utf8(decoded).map_err(|_| CredentialsError::Basic)?;
        let (name, password) = text.split_once(':').ok_or(CredentialsError::Basic)?;
        Ok(Self::of_pair(name, password))
    }

    /// A name and a password, as a form or a header has them. The password of the user [`TOKEN_USER`] is a token.
    pub fn of_pair(name: &str, password: &str) -> Self {
        if name == TOKEN_USER {
            return Self::Token(password.to_owned());
        }
        Self::Password { name: name.to_owned(), password: password.to_owned() }
    }

    /// Whether they say nothing: what some clients send that were asked and have no name.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Password { name, password } if name.is_empty() && password.is_empty())
    }

    /// As a `Basic` header has them.
    pub fn basic(name: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }
}

/// Base64 of as much as is read.
const STANDARD_LONGEST: usize = LONGEST.div_ceil(3) * 4;

/// Secrets stay out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { name, .. } => f.debug_struct("Password").field("name", name).finish_non_exhaustive(),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn password(name: &str, password: &str) -> Credentials {
        Credentials::Password { name: name.into(), password: password.into() }
    }

    #[test]
    fn both_schemes_are_read_whatever_their_case() {
        assert_eq!(Credentials::parse("Basic YW5uYTpwOnc="), Ok(password("anna", "p:w")));
        assert_eq!(Credentials::parse("basic  YW5uYTpwOnc"), Ok(password("anna", "p:w")));
        assert_eq!(Credentials::parse("BEARER a.b.c"), Ok(Credentials::Token("a.b.c".into())));
        assert_eq!(Credentials::parse(&Credentials::basic("token", "a.b.c")), Ok(Credentials::Token("a.b.c".into())));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("", CredentialsError::Scheme),
            ("Basic", CredentialsError::Scheme),
            ("Digest x", CredentialsError::Scheme),
            ("Basic ???", CredentialsError::Basic),
            ("Basic YW5uYQ==", CredentialsError::Basic),
            ("Basic /////w==", CredentialsError::Basic),
        ] {
            assert_eq!(Credentials::parse(text), Err(error), "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Credentials::of_headers(&headers), Ok(None));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(Credentials::of_headers(&headers), Err(CredentialsError::Several));
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?} {:?}", password("anna", "hidden"), Credentials::Token("hidden".into()));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[^:]{0,20}", secret in ".{0,20}") {
            prop_assume!(name != TOKEN_USER);
            prop_assert_eq!(Credentials::parse(&Credentials::basic(&name, &secret)), Ok(password(&name, &secret)));
        }

        #[test]
        fn no_text_brings_the_parser_down(text in "(?s).{0,60}|(?i:basic|bearer) [A-Za-z0-9+/=]{0,40}") {
            let _ = Credentials::parse(&text);
        }
    }
}
