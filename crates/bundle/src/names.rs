//! Validated names: what a text must look like to be a site, a stream, a platform or a version.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
pub use sealock_trust::{SiteId, StreamName as Stream};
use serde::{Deserialize, Serialize};

/// Why a text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {rule}")]
pub struct ParseNameError {
    /// What the text should have been, like `site id`.
    pub what: &'static str,
    /// The text as written.
    pub text: String,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

impl ParseNameError {
    pub(crate) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        Self { what, text, rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $valid:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseNameError::new($what, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a bundle, as in `metadata.name`: a DNS label (RFC 1123), which Kubernetes users know.
    BundleName, "bundle name", is_dns_label,
    "lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters"
}

name! {
    /// The name of a set of OS packages, like `debian-12`: a DNS label (RFC 1123).
    OsPackageSetName, "name of a set of OS packages", is_dns_label,
    "lower-case letters, digits and '-', beginning and ending with a letter or digit, at most 63 characters"
}

name! {
    /// A Kubernetes release, like `v1.36.3`.
    KubernetesVersion, "Kubernetes version", is_kubernetes_version,
    "written v1.MINOR.PATCH, like v1.36.3"
}

impl KubernetesVersion {
    /// The minor line, like `v1.36`.
    pub fn minor_line(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.0.as_str(), |(line, _patch)| line)
    }
}

fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    bytes.len() <= 63
        && alphanumeric(first)
        && alphanumeric(last)
        && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-')
}

fn is_kubernetes_version(text: &str) -> bool {
    let Some(numbers) = text.strip_prefix("v1.") else {
        return false;
    };
    let canonical = |part: &str| part.parse::<u16>().is_ok_and(|number| number.to_string() == part);
    numbers.split_once('.').is_some_and(|(minor, patch)| canonical(minor) && canonical(patch))
}

/// Operating system and architecture, like `linux/amd64` (OCI image specification 1.1, "Image index", `platform`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Platform {
    /// Operating system, as Go names it: `linux`.
    pub os: String,
    /// Architecture, as Go names it: `amd64`.
    pub architecture: String,
    /// Variant of the architecture, like `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// `linux/amd64`, what is meant where a spec names no platform.
    pub fn linux_amd64() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

impl FromStr for Platform {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "written os/architecture or os/architecture/variant, like linux/amd64";
        let error = || ParseNameError::new("platform", text, rule);
        let word = |part: &str| {
            let lower = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
            !part.is_empty() && part.len() <= 16 && part.bytes().all(lower)
        };
        let mut parts = text.split('/');
        let (Some(os), Some(architecture)) = (parts.next(), parts.next()) else {
            return Err(error());
        };
        let variant = parts.next();
        let words = [Some(os), Some(architecture), variant];
        if parts.next().is_some() || !words.into_iter().flatten().all(word) {
            return Err(error());
        }
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(ToOwned::to_owned) })
    }
}

impl TryFrom<String> for Platform {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strict() {
        assert!("plant-7".parse::<BundleName>().is_ok());
        assert!("v1.36.3".parse::<KubernetesVersion>().is_ok());
        for text in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(64), "../x"] {
            assert!(text.parse::<BundleName>().is_err(), "{text}");
        }
        for text in ["1.36.3", "v1.36", "v1.036.3", "v2.0.0", "v1.36.3-rc.1", "v1.36.3.4"] {
            assert!(text.parse::<KubernetesVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_platform_is_read_and_written_alike() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64", "linux/amd 64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_minor_line_of_a_version() {
        let version: KubernetesVersion = "v1.36.3".parse().unwrap();
        assert_eq!(version.minor_line(), "v1.36");
    }
}
