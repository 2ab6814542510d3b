//! Rules: which upstream key must have signed what, or why it may come unsigned.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

/// What must hold for an image before it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VerifyRule {
    /// It may come unsigned, for this reason, which stands in the lock.
    #[serde(deserialize_with = "reason")]
    Unsigned(String),
    /// It must be signed, cosign's way, by the public key in this PEM file. The path is relative to the spec.
    Key(PathBuf),
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let reason = String::deserialize(deserializer)?;
    if reason.trim().is_empty() { Err(D::Error::custom(NO_REASON)) } else { Ok(reason) }
}

const NO_REASON: &str = "\"unsigned\" says in words why an image may come unsigned";

/// A rule for every image whose name fits a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawVerifyMatch", into = "RawVerifyMatch")]
#[schemars(with = "RawVerifyMatch")]
pub struct VerifyMatch {
    /// The pattern: `*` stands for any characters, slashes too, and `?` for one. Compared with the complete reference.
    pub pattern: String,
    /// What must hold.
    pub rule: VerifyRule,
}

impl VerifyMatch {
    /// Whether the complete reference `name`, like `registry.k8s.io/pause:3.10.2`, fits the pattern.
    pub fn covers(&self, name: &str) -> bool {
        WildMatch::new(&self.pattern).matches(name)
    }
}

/// One rule for images whose name fits a pattern: `{match: …, unsigned: …}` or `{match: …, key: …}`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VerifyMatch")]
struct RawVerifyMatch {
    /// `*` stands for any characters, slashes too, and `?` for one. Compared with the complete reference.
    r#match: String,
    /// Why the images may come unsigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsigned: Option<String>,
    /// The PEM file of the public key that must have signed the images, relative to the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
}

impl TryFrom<RawVerifyMatch> for VerifyMatch {
    type Error = &'static str;

    fn try_from(raw: RawVerifyMatch) -> Result<Self, &'static str> {
        let rule = match (raw.unsigned, raw.key) {
            (Some(reason), None) if reason.trim().is_empty() => {
                return Err(NO_REASON);
            }
            (Some(reason), None) => VerifyRule::Unsigned(reason),
            (None, Some(key)) => VerifyRule::Key(key),
            _ => return Err("a rule has either \"unsigned\" or \"key\""),
        };
        Ok(Self { pattern: raw.r#match, rule })
    }
}

impl From<VerifyMatch> for RawVerifyMatch {
    fn from(value: VerifyMatch) -> Self {
        let (unsigned, key) = match value.rule {
            VerifyRule::Unsigned(reason) => (Some(reason), None),
            VerifyRule::Key(key) => (None, Some(key)),
        };
        Self { r#match: value.pattern, unsigned, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_slashes() {
        let rule = VerifyRule::Unsigned("x".into());
        let rule = VerifyMatch { pattern: "registry.k8s.io/*".into(), rule };
        assert!(rule.covers("registry.k8s.io/coredns/coredns:v1.14.2"));
        assert!(!rule.covers("evil.example/registry.k8s.io/pause:1"));
    }
}
