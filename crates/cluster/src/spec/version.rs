//! Exact Kubernetes versions.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An exact version of Kubernetes, like `v1.36.3`: never a label that would have to be looked up somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    minor: u16,
    patch: u16,
}

impl KubernetesVersion {
    /// The minor number: 36 of `v1.36.3`.
    pub fn minor(self) -> u16 {
        self.minor
    }

    /// The patch number: 3 of `v1.36.3`.
    pub fn patch(self) -> u16 {
        self.patch
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}.{}", self.minor, self.patch)
    }
}

/// A text that is not an exact version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an exact Kubernetes version like v1.36.3")]
pub struct ParseVersionError(String);

impl FromStr for KubernetesVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            let canonical = part == "0" || !part.starts_with('0');
            (canonical && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
        };
        let parse = || {
            let (minor, patch) = text.strip_prefix("v1.")?.split_once('.')?;
            Some(Self { minor: number(minor)?, patch: number(patch)? })
        };
        parse().ok_or_else(|| ParseVersionError(text.chars().take(80).collect()))
    }
}

impl Serialize for KubernetesVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KubernetesVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for KubernetesVersion {
    fn schema_name() -> Cow<'static, str> {
        "KubernetesVersion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": r"^v1\.[0-9]+\.[0-9]+$"})
    }
}
