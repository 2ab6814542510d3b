//! The kind `Registry` as it stands in a file: who may do what at the registry (`docs/formats/registry.md`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use sealock_bundle::document::{ApiVersion, Document};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::glob::Glob;
use super::identity::Subject;

/// A document of kind `Registry`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryDocument {
    /// `sealock/v1alpha1`.
    pub api_version: ApiVersion,
    /// `Registry`.
    pub kind: RegistryKind,
    /// What the registry is called.
    pub metadata: Metadata,
    /// Who may do what.
    pub spec: RegistrySpec,
}

impl Document for RegistryDocument {
    const KIND: &'static str = "Registry";
}

/// The value of `kind` in a [`RegistryDocument`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RegistryKind {
    /// `Registry`.
    #[default]
    Registry,
}

/// What the registry is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The service that tokens are for: usually the registry's host name, like `registry.plant-7.internal`.
    pub name: String,
}

/// Who may do what. What is not granted is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistrySpec {
    /// What needs no login.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// How clients are asked to log in.
    #[serde(default)]
    pub login: Login,
    /// A file of names and bcrypt hashes, as `htpasswd -B` writes it, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htpasswd: Option<PathBuf>,
    /// Accounts of programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub robots: Vec<Robot>,
    /// Client certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    /// Identity providers whose tokens are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<Oidc>,
    /// Clusters whose service accounts are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<ServiceAccounts>,
    /// Who may do what, where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What may be pushed where. The narrowest pattern that fits a repository holds; where none fits nothing is pushed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// How much one client may ask for.
    #[serde(default)]
    pub limits: Limits,
}

/// What needs no login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Anonymous {
    /// Repositories that anybody may pull from; all of them when left out, none when `[]`.
    pub pull: Vec<Glob>,
    /// Whether anybody may list the repositories they may pull from.
    pub catalog: bool,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self { pull: vec![Glob::everything()], catalog: false }
    }
}

/// How clients are asked to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Login {
    /// What a client is asked for that has not said who it is.
    pub challenge: ChallengeKind,
    /// For how long a token holds, in seconds, from 60 to 3600.
    #[schemars(range(min = 60, max = 3600))]
    pub token_seconds: u32,
    /// Where tokens are to be had, where clients reach it by another URL than `https://HOST/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

impl Default for Login {
    fn default() -> Self {
        Self { challenge: ChallengeKind::Bearer, token_seconds: 300, realm: None }
    }
}

/// What a client is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeKind {
    /// A token from `/token` (distribution project, "Token Authentication Specification").
    #[default]
    Bearer,
    /// Name and password with each request (RFC 7617).
    Basic,
}

/// An account of a program. It logs in as `robot+NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Robot {
    /// A DNS label.
    pub name: String,
    /// The digest of its secret, as `sealock registry robot` prints it.
    #[schemars(with = "String")]
    pub secret: Digest,
    /// The first instant at which it may not log in any more.
    #[schemars(with = "String")]
    pub expires: Timestamp,
    /// What it may do; more can stand in `grants`, for `robot/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Allowed>,
}

/// Actions on repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allowed {
    /// Patterns of repositories: `*` stands for any text without a slash, `**` for any text.
    pub repositories: Vec<Glob>,
    /// What may be done there.
    pub actions: Vec<Action>,
}

/// Client certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificates {
    /// PEM file of the authorities that issue them, relative to this file.
    pub ca: PathBuf,
    /// Where in the certificate the name of its holder stands.
    #[serde(default)]
    pub name: CertificateName,
}

/// Where in a certificate the name of its holder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertificateName {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The first DNS name among the alternative names.
    DnsName,
    /// The first URI among the alternative names, such as a SPIFFE ID.
    Uri,
}

/// An identity provider. Its tokens are the password of the user `token`, or come as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Oidc {
    /// What it is called here: a DNS label, part of `oidc/NAME/USER`.
    pub name: String,
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// One of what the claim `aud` must hold; `metadata.name` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// File of its public keys (JSON Web Key Set), relative to this file.
    pub keys: PathBuf,
    /// The claim that names the user.
    #[serde(default = "subject_claim")]
    pub username_claim: String,
    /// The claim that lists the user's groups.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
}

fn subject_claim() -> String {
    "sub".into()
}

fn groups_claim() -> String {
    "groups".into()
}

/// A cluster whose service accounts are believed. Their tokens are the password of the user `token`, or come as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccounts {
    /// What it is called here: a DNS label, part of `service-account/CLUSTER/NAMESPACE/NAME`.
    pub cluster: String,
    /// The claim `iss` of its tokens: the API server's `--service-account-issuer`.
    pub issuer: String,
    /// One of what the claim `aud` must hold; `metadata.name` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// File of what `kubectl get --raw /openid/v1/jwks` answers, relative to this file.
    pub keys: PathBuf,
}

/// Who may do what, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Whom it is for.
    pub subjects: Vec<Subject>,
    /// Patterns of repositories: `*` stands for any text without a slash, `**` for any text.
    pub repositories: Vec<Glob>,
    /// What may be done there.
    pub actions: Vec<Action>,
}

/// What may be pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Patterns of repositories. Those that stand for upstreams (`docker.io/…`) must be named: no pattern that begins with a
    /// wildcard fits them.
    pub repositories: Vec<Glob>,
    /// Patterns of tags that may be moved to other content; every other tag is written once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutable_tags: Vec<Glob>,
    /// Patterns of media types: of the manifest, its configuration, its layers and its artifact type, each must fit one. All
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_types: Option<Vec<Glob>>,
    /// Files of public keys (PEM), relative to this file: what none of them has signed, as cosign does, is not pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<PathBuf>,
    /// Whether what has no SBOM (SPDX or CycloneDX, as a referrer) is not pulled.
    #[serde(default)]
    pub sbom: bool,
    /// Whether a manifest may refer to what is not there; a pull of it may then end half-way.
    #[serde(default)]
    pub sparse: bool,
    /// What one repository holds at most, like `50GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<ByteCount>,
}

/// How much one client may ask for: one name, or one address where nobody has said who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Requests in a second, on the average; any number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// Requests at once after a pause; those of two seconds when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Requests that are under way at a time; any number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub at_a_time: Option<u32>,
}

/// A number of bytes, written like `50GiB`, `700M` or `4096`: G and M count in thousands, GiB and MiB in powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ByteCount(u64);

/// A text is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of bytes, written like 50GiB, 700M or 4096")]
pub struct ParseByteCountError(String);

impl ByteCount {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// Units, the larger ones first: so each number has one spelling.
const UNITS: [(&str, u64); 6] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
];

impl FromStr for ByteCount {
    type Err = ParseByteCountError;

    fn from_str(text: &str) -> Result<Self, ParseByteCountError> {
        let error = || ParseByteCountError(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let unit = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?.1,
        };
        number.checked_mul(unit).map(Self).ok_or_else(error)
    }
}

impl TryFrom<String> for ByteCount {
    type Error = ParseByteCountError;

    fn try_from(text: String) -> Result<Self, ParseByteCountError> {
        text.parse()
    }
}

impl From<ByteCount> for String {
    fn from(count: ByteCount) -> Self {
        count.to_string()
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_are_written_with_their_units() {
        for (text, bytes) in [("50GiB", 50 << 30), ("700M", 700_000_000), ("4097", 4097), ("1TiB", 1 << 40), ("0", 0)] {
            let count: ByteCount = text.parse().unwrap();
            assert_eq!((count.bytes(), count.to_string().as_str()), (bytes, text));
        }
        for text in ["", "G", "-1", "1.5G", "1gib", "99999999999T", "+1"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }
}
