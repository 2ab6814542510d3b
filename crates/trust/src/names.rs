//! Names that stand in signed documents and become file names: streams, sites, vendors' roles; and beginnings of names.

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
    /// Not the beginning of an artifact's name.
    #[error(
        "names are given by their first words, like `quay.io/acme` or `quay.io/acme/app`, in lower case and without a tag; \
         `*` for every name"
    )]
    Names,
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

    /// Whether a root that speaks for these streams is trusted with every name: it is for `base` and for all streams. Another
    /// one could claim, say, the name of a control plane's image, and has to be enrolled with the names that are its own.
    pub fn has_every_name(&self) -> bool {
        matches!(&*self.0, "base" | "*")
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

/// The first words of artifacts' names, like `quay.io/acme`: what a vendor or another publisher may vouch for. `*` for all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePrefix(Box<str>);

text_type!(NamePrefix);

/// Bytes of a [`NamePrefix`] at most: as many as an OCI repository may have.
const MAX_NAME_PREFIX: usize = 255;

impl NamePrefix {
    /// How many words may follow a prefix in a name that a delegation of it covers.
    pub const LEVELS: usize = 8;

    /// Whether the artifact's name begins with this prefix, whole words compared: `quay.io/acme` begins `quay.io/acme/app:1`
    /// and `quay.io/acme:1`, and not `quay.io/acmetools:1`.
    pub fn covers(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(self.as_str()) else { return self.is_all() };
        match rest.as_bytes().first() {
            Some(b'/') => true,
            // A tag or a digest; what holds a `/` behind it is the port of a registry of that name.
            Some(b':' | b'@') => !rest.contains('/'),
            _ => rest.is_empty(),
        }
    }

    /// Whether this is `*`.
    pub fn is_all(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether some name begins with both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let within = |inner: &Self, outer: &Self| outer.is_all() || inner == outer || outer.covers(inner.as_str());
        within(self, other) || within(other, self)
    }

    /// The prefix as patterns of a TUF delegation (specification 1.0.34, 4.5), in which `*` stands for anything but `/`.
    /// They cover what [`Self::covers`] does, down to [`Self::LEVELS`] words.
    pub fn patterns(&self) -> Vec<String> {
        let below = (1..=Self::LEVELS).map(|levels| format!("{self}{}", "/*".repeat(levels)));
        [format!("{self}:*"), format!("{self}@*")].into_iter().chain(below).collect()
    }

    /// The prefixes that `patterns` were made from; patterns of other shapes say nothing here.
    pub fn of_patterns(patterns: &[String]) -> Vec<Self> {
        let prefixes = patterns.iter().filter_map(|pattern| pattern.strip_suffix(":*")?.parse().ok());
        prefixes.filter(|prefix: &Self| !prefix.is_all()).collect()
    }
}

impl FromStr for NamePrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = text.len() <= MAX_NAME_PREFIX && text.split('/').enumerate().all(is_name_word);
        if text == "*" || well_formed { Ok(Self(text.into())) } else { Err(NameError::Names) }
    }
}

/// A word of an artifact's name; the first may be a host with its port.
fn is_name_word((at, word): (usize, &str)) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    let (word, port) = word.split_once(':').map_or((word, None), |(host, port)| (host, Some(port)));
    let framed = |edge: Option<u8>| edge.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let has_port =
        port.is_none_or(|port| at == 0 && port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    word.bytes().all(legal) && framed(word.bytes().next()) && framed(word.bytes().last()) && has_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> NamePrefix {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_beginning_of_a_name_is_refused() {
        for text in [
            "",
            "/",
            "a//b",
            "/a",
            "a/",
            "..",
            "a/../b",
            "A",
            "a b",
            "quay.io/acme/*",
            "quay.io/ac?e",
            "a:b",
            "a/b:1",
            "a@b",
            "**",
            "a[b]",
            "host:99999/a",
            "host:080/a",
        ] {
            assert_eq!(text.parse::<NamePrefix>(), Err(NameError::Names), "{text:?}");
        }
        for text in ["*", "quay.io", "quay.io/acme", "localhost:5000/x", "manifests/plant-7", "a/b__c/d"] {
            assert_eq!(names(text).as_str(), text);
        }
    }

    #[test]
    fn names_are_compared_word_by_word_and_patterns_say_the_same() {
        let cases = [
            ("quay.io/acme", "quay.io/acme/app:v1", true),
            ("quay.io/acme", "quay.io/acme/team/app@sha256:00", true),
            ("quay.io/acme", "quay.io/acme:1", true),
            ("quay.io/acme", "quay.io/acme@sha256:00", true),
            ("quay.io/acme", "quay.io/acmetools/app:1", false),
            ("quay.io/acme", "quay.io/acm:1", false),
            ("quay.io/acme/app", "quay.io/acme/app:1", true),
            ("quay.io/acme/app", "quay.io/acme/app2:1", false),
            ("localhost", "localhost:5000/x:1", false),
            ("localhost", "localhost/x:1", true),
            ("localhost:5000", "localhost:5000/x:1", true),
        ];
        for (prefix, name, covered) in cases {
            let prefix = names(prefix);
            assert_eq!(prefix.covers(name), covered, "{prefix} {name}");
            let matched = prefix.patterns().iter().any(|pattern| crate::tuf::matches(pattern, name));
            assert_eq!(matched, covered, "patterns of {prefix} and {name}");
        }
        assert!(names("*").covers("anything:1") && !names("quay.io").covers("docker.io/a:1"));
        assert_eq!(NamePrefix::of_patterns(&names("quay.io/acme").patterns()), [names("quay.io/acme")]);
    }

    #[test]
    fn prefixes_overlap_where_one_lies_within_the_other() {
        for (one, other, overlap) in [
            ("quay.io/acme", "quay.io/acme", true),
            ("quay.io/acme", "quay.io/acme/team", true),
            ("quay.io/acme", "quay.io", true),
            ("*", "quay.io", true),
            ("quay.io/acme", "quay.io/acme2", false),
            ("localhost", "localhost:5000", true),
        ] {
            assert_eq!(names(one).overlaps(&names(other)), overlap, "{one} {other}");
            assert_eq!(names(other).overlaps(&names(one)), overlap, "{other} {one}");
        }
    }

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
