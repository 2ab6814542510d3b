//! Names that stand in signed documents and become file names: streams, their prefixes, sites.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Streams under this component belong to the site itself (backups), never to a publisher.
const RESERVED: &str = "site";

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a stream's name.
    #[error(
        "a stream is named by lower-case words with `/` between them, like `apps/payments` (at most 128 characters)"
    )]
    Stream,
    /// Not a stream prefix.
    #[error("a stream prefix is the first words of a stream's name, like `apps`, or `*` for every stream")]
    Prefix,
    /// Not a delegated role's name.
    #[error(
        "a vendor's role is named by 1 to 63 of the characters a-z, 0-9 and `-`, and not like one of TUF's own roles"
    )]
    Role,
    /// Not a justification.
    #[error("a reason is a text of 1 to 500 bytes without control characters")]
    Justification,
    /// Not a site id.
    #[error("a site id has 1 to 63 of the characters a-z, 0-9 and `-`, and begins and ends with a letter or digit")]
    Site,
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The name of a stream, like `base` or `apps/payments`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Box<str>);

text_type!(StreamName);

impl StreamName {
    /// Whether the site keeps this stream for itself.
    pub fn is_reserved(&self) -> bool {
        self.0.split('/').next() == Some(RESERVED)
    }
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = text.len() <= 128 && text.split('/').all(is_word);
        if well_formed { Ok(Self(text.into())) } else { Err(NameError::Stream) }
    }
}

/// Lower-case letters and digits, with single `.`, `_` or `-` between them: never empty, `.` or `..`.
fn is_word(word: &str) -> bool {
    word.split(['.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// What an enrolled root may speak for: the streams whose names begin with these words; `*` for all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamPrefix(Box<str>);

text_type!(StreamPrefix);

impl StreamPrefix {
    /// Whether `stream` begins with this prefix, whole words compared. The site's own streams never do.
    pub fn covers(&self, stream: &StreamName) -> bool {
        let rest = stream.as_str().strip_prefix(self.as_str());
        let begins = &*self.0 == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        begins && !stream.is_reserved()
    }

    /// How specific the prefix is: the longest wins.
    pub(crate) fn specificity(&self) -> usize {
        if &*self.0 == "*" { 0 } else { self.0.len() }
    }
}

/// A person's words for why something was done: recorded, shown, and never interpreted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Justification(Box<str>);

text_type!(Justification);

impl FromStr for Justification {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_fit = (1..=500).contains(&text.len()) && !text.trim().is_empty() && !text.chars().any(char::is_control);
        if is_fit { Ok(Self(text.into())) } else { Err(NameError::Justification) }
    }
}

impl FromStr for StreamPrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let stream: Option<StreamName> = text.parse().ok();
        let is_prefix = text == "*" || stream.is_some_and(|stream| !stream.is_reserved());
        if is_prefix { Ok(Self(text.into())) } else { Err(NameError::Prefix) }
    }
}

/// The id of a site, like `plant-7`: a DNS label (RFC 1123).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteId(Box<str>);

text_type!(SiteId);

impl FromStr for SiteId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let framed = !text.starts_with('-') && !text.ends_with('-');
        let well_formed = (1..=63).contains(&text.len()) && framed && text.bytes().all(label);
        if well_formed { Ok(Self(text.into())) } else { Err(NameError::Site) }
    }
}

/// The name of a delegated role, like `acme`: a DNS label, so that `NAME.json` is a file name of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(Box<str>);

text_type!(RoleName);

impl FromStr for RoleName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_label = text.parse::<SiteId>().is_ok();
        // `mirrors.json` is a file that the specification once knew.
        let is_own = ["root", "targets", "snapshot", "timestamp", "mirrors"].contains(&text);
        if is_label && !is_own { Ok(Self(text.into())) } else { Err(NameError::Role) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for text in
            ["", "/", "a//b", "/a", "a/", "..", "a/../b", "a/./b", "A", "a b", "a~b", "a\0", "ä", "a-", "-a", "a..b"]
        {
            assert_eq!(text.parse::<StreamName>(), Err(NameError::Stream), "{text:?}");
        }
        assert!("a".repeat(129).parse::<StreamName>().is_err());
        for text in ["base", "apps/payments", "v1.36/x_y-z"] {
            assert_eq!(text.parse::<StreamName>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "a-", "A", "a.b", "a/b", "plant_7"] {
            assert_eq!(text.parse::<SiteId>(), Err(NameError::Site), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_words_and_never_the_sites_own_streams() {
        let covers =
            |prefix: &str, stream: &str| prefix.parse::<StreamPrefix>().unwrap().covers(&stream.parse().unwrap());
        assert!(covers("apps", "apps") && covers("apps", "apps/payments") && covers("*", "base"));
        assert!(!covers("apps", "apps2") && !covers("apps/payments", "apps") && !covers("*", "site/plant-7/backup"));
        assert_eq!("site/plant-7".parse::<StreamPrefix>(), Err(NameError::Prefix));
    }
}
