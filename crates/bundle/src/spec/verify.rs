//! Rules: which upstream key or identity must have signed what, or why it may come unsigned.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

/// What must hold for an image before it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawVerifyRule", into = "RawVerifyRule")]
#[schemars(with = "RawVerifyRule")]
pub enum VerifyRule {
    /// It may come unsigned, for this reason, which stands in the lock.
    Unsigned(String),
    /// It must be signed, cosign's way, by a public key.
    Key(KeyRule),
    /// It must be signed, cosign's way, by an identity that a pinned authority has certified.
    Keyless(KeylessRule),
    /// It must be signed, Notation's way, by an identity that a pinned authority has certified.
    Notation(NotationRule),
}

/// The key that must have signed an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// The PEM file of the public key, relative to the spec.
    pub file: PathBuf,
    /// What the signature must say besides.
    pub claims: Claims,
}

/// The identity that must have signed an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeylessRule {
    /// Who, and by whose word.
    pub signer: KeylessSigner,
    /// What the signature must say besides.
    pub claims: Claims,
}

/// An identity in a certificate, and the authorities that are believed, as Notation (Notary Project) knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotationRule {
    /// The identity, as Notation's trust policies write it: `x509.subject: C=US, ST=WA, O=acme`; `*` for any under the certificates.
    pub identity: String,
    /// The PEM file with the certificates of the authorities that are believed, or of the signer, relative to the spec.
    pub certificates: PathBuf,
}

/// An identity in a certificate, and the authorities and logs that are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeylessSigner {
    /// The identity, exactly: an e-mail address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A regular expression that the whole identity must fit, in place of `identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_regexp: Option<String>,
    /// Who vouches for the identity, exactly: the URL of the OIDC issuer.
    pub issuer: String,
    /// The file with the authorities and logs that are believed (Sigstore's `trusted_root.json`), relative to the spec.
    pub trusted_root: PathBuf,
}

/// What a signature must say besides the image's digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Patterns, one of which the repository that the signature names must fit; the image's own repository when empty.
    pub signed_as: Vec<String>,
    /// Annotations that the signature must have, with these values.
    pub annotations: BTreeMap<String, String>,
}

impl Claims {
    fn is_empty(&self) -> bool {
        self.signed_as.is_empty() && self.annotations.is_empty()
    }

    /// Whether an image called `own` may be signed as `signed`, both complete names without tag.
    pub fn allow(&self, signed: &str, own: &str) -> bool {
        if self.signed_as.is_empty() {
            return signed == own;
        }
        self.signed_as.iter().any(|pattern| WildMatch::new(pattern).matches(signed))
    }
}

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

    /// How narrow the pattern is: the number of characters that stand for themselves.
    fn weight(&self) -> usize {
        self.pattern.chars().filter(|c| !matches!(c, '*' | '?')).count()
    }
}

/// Two rules that cover an image equally well and demand different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleConflict {
    /// One pattern.
    pub first: String,
    /// The other.
    pub second: String,
}

/// The rule for `name`: that of the narrowest pattern that covers it; none where no pattern does.
///
/// # Errors
/// [`RuleConflict`] where two patterns are equally narrow and their rules differ.
pub fn rule_for<'a>(rules: &'a [VerifyMatch], name: &str) -> Result<Option<&'a VerifyRule>, RuleConflict> {
    let covering = || rules.iter().filter(|rule| rule.covers(name));
    let Some(weight) = covering().map(VerifyMatch::weight).max() else { return Ok(None) };
    let mut best = covering().filter(|rule| rule.weight() == weight);
    let Some(first) = best.next() else { return Ok(None) };
    match best.find(|other| other.rule != first.rule) {
        Some(other) => Err(RuleConflict { first: first.pattern.clone(), second: other.pattern.clone() }),
        None => Ok(Some(&first.rule)),
    }
}

/// What must hold: `unsigned: …`, `key: FILE`, `keyless: {…}` or `notation: {…}`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "VerifyRule")]
struct RawVerifyRule {
    /// Why it may come unsigned, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsigned: Option<String>,
    /// The PEM file of the public key that must have signed it, relative to the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    /// The identity that must have signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyless: Option<KeylessSigner>,
    /// The identity that must have signed, with Notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notation: Option<NotationRule>,
    /// Patterns for the repository that the signature names, where that is not the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signed_as: Vec<String>,
    /// Annotations that the signature must have, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

// The fields of `RawVerifyRule` stand here again, because serde cannot both flatten and refuse unknown fields.
/// One rule for images whose name fits a pattern: `match` and one of `unsigned`, `key`, `keyless` and `notation`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "VerifyMatch")]
struct RawVerifyMatch {
    /// `*` stands for any characters, slashes too, and `?` for one. Compared with the complete reference.
    r#match: String,
    /// Why the images may come unsigned, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsigned: Option<String>,
    /// The PEM file of the public key that must have signed the images, relative to the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    /// The identity that must have signed the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyless: Option<KeylessSigner>,
    /// The identity that must have signed, with Notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notation: Option<NotationRule>,
    /// Patterns for the repository that a signature names, where that is not the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signed_as: Vec<String>,
    /// Annotations that a signature must have, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl TryFrom<RawVerifyRule> for VerifyRule {
    type Error = &'static str;

    fn try_from(raw: RawVerifyRule) -> Result<Self, &'static str> {
        let claims = Claims { signed_as: raw.signed_as, annotations: raw.annotations };
        match (raw.unsigned, raw.key, raw.keyless, raw.notation) {
            (Some(_), None, None, None) | (None, None, None, Some(_)) if !claims.is_empty() => {
                Err("\"signedAs\" and \"annotations\" say what a signature of cosign must say, and none is demanded")
            }
            (Some(reason), None, None, None) if reason.trim().is_empty() => {
                Err("\"unsigned\" says in words why an image may come unsigned")
            }
            (Some(reason), None, None, None) => Ok(Self::Unsigned(reason)),
            (None, Some(file), None, None) => Ok(Self::Key(KeyRule { file, claims })),
            (None, None, Some(signer), None) if signer.identity.is_some() == signer.identity_regexp.is_some() => {
                Err("\"keyless\" has either \"identity\" or \"identityRegexp\"")
            }
            (None, None, Some(signer), None) => Ok(Self::Keyless(KeylessRule { signer, claims })),
            (None, None, None, Some(rule)) => Ok(Self::Notation(rule)),
            _ => Err("a rule has one of \"unsigned\", \"key\", \"keyless\" and \"notation\""),
        }
    }
}

impl From<VerifyRule> for RawVerifyRule {
    fn from(rule: VerifyRule) -> Self {
        let with =
            |claims: Claims| Self { signed_as: claims.signed_as, annotations: claims.annotations, ..Self::default() };
        match rule {
            VerifyRule::Unsigned(reason) => Self { unsigned: Some(reason), ..Self::default() },
            VerifyRule::Key(KeyRule { file, claims }) => Self { key: Some(file), ..with(claims) },
            VerifyRule::Keyless(KeylessRule { signer, claims }) => Self { keyless: Some(signer), ..with(claims) },
            VerifyRule::Notation(rule) => Self { notation: Some(rule), ..Self::default() },
        }
    }
}

impl TryFrom<RawVerifyMatch> for VerifyMatch {
    type Error = &'static str;

    fn try_from(raw: RawVerifyMatch) -> Result<Self, &'static str> {
        let RawVerifyMatch { r#match, unsigned, key, keyless, notation, signed_as, annotations } = raw;
        let rule = RawVerifyRule { unsigned, key, keyless, notation, signed_as, annotations }.try_into()?;
        Ok(Self { pattern: r#match, rule })
    }
}

impl From<VerifyMatch> for RawVerifyMatch {
    fn from(value: VerifyMatch) -> Self {
        let RawVerifyRule { unsigned, key, keyless, notation, signed_as, annotations } = value.rule.into();
        Self { r#match: value.pattern, unsigned, key, keyless, notation, signed_as, annotations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, reason: &str) -> VerifyMatch {
        VerifyMatch { pattern: pattern.into(), rule: VerifyRule::Unsigned(reason.into()) }
    }

    #[test]
    fn a_star_crosses_slashes() {
        let rule = rule("registry.k8s.io/*", "x");
        assert!(rule.covers("registry.k8s.io/coredns/coredns:v1.14.2"));
        assert!(!rule.covers("evil.example/registry.k8s.io/pause:1"));
    }

    #[test]
    fn the_narrowest_pattern_holds_wherever_it_stands() {
        let rules = [rule("*", "any"), rule("quay.io/a/*", "a"), rule("quay.io/*", "quay")];
        let reason = |name| match rule_for(&rules, name) {
            Ok(Some(VerifyRule::Unsigned(reason))) => reason.as_str(),
            _ => "-",
        };
        assert_eq!(reason("quay.io/a/b:1"), "a");
        assert_eq!(reason("quay.io/b/b:1"), "quay");
        assert_eq!(reason("ghcr.io/a/b:1"), "any");
        assert_eq!(rule_for(&rules[1..], "ghcr.io/a/b:1"), Ok(None));
    }

    #[test]
    fn two_equally_narrow_patterns_must_agree() {
        let rules = [rule("quay.io/a/*", "one"), rule("quay.io/*/b", "two")];
        let conflict = rule_for(&rules, "quay.io/a/b").unwrap_err();
        assert_eq!((conflict.first.as_str(), conflict.second.as_str()), ("quay.io/a/*", "quay.io/*/b"));
        let rules = [rule("quay.io/a/*", "one"), rule("quay.io/*/b", "one")];
        assert_eq!(rule_for(&rules, "quay.io/a/b"), Ok(Some(&rules[0].rule)));
    }
}
