//! The kind `Site`.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{ApiVersion, Document};
use crate::names::SiteId;
use crate::spec::duration::Days;

/// A site: one installation inside the gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Site {
    /// `sealock/v1alpha1`.
    pub api_version: ApiVersion,
    /// `Site`.
    pub kind: SiteKind,
    /// What the site is called.
    pub metadata: SiteMetadata,
    /// What it is.
    pub spec: SiteSpec,
}

impl Document for Site {
    const KIND: &'static str = "Site";
}

/// The value of `kind` in a [`Site`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SiteKind {
    /// `Site`.
    #[default]
    Site,
}

/// What a site is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteMetadata {
    /// The site's id: a DNS label, the one that bundles name as their audience.
    #[schemars(with = "String")]
    pub name: SiteId,
}

/// What a site is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSpec {
    /// What a bundle's classification must equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<String>,
    /// The registry that the nodes pull from.
    pub registry: Registry,
    /// The publishers' roots, by the prefix of the streams that they may fill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<EnrolledRoot>,
    /// The public keys of the people who admit what is out of the ordinary, PEM files relative to the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PathBuf>,
    /// What the site thinks of age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<ExpiryPolicy>,
    /// What the site keeps of what it has served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// What the site keeps of what it has served. It is signed into the site root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// How many releases are retained beside the current one; all when left out. Those stay too that are pinned, and that a
    /// cluster or an application was made from.
    pub releases: u64,
}

/// What the site thinks of age. It is signed into the site root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpiryPolicy {
    /// For how long after its soft expiry a bundle is imported with a warning only; `30d` when left out.
    pub stale_grace: Days,
}

/// The site's registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Host name, with a port unless it is 443: `registry.plant-7.lab`.
    pub name: String,
    /// The address behind the name; nodes need no DNS for it.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// PEM file with the certificate authority that issues its certificate; one of the site's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// A publisher's root, enrolled for some streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolledRoot {
    /// The prefix of the streams: `base` means `base` and `base/…`. The longest fitting one holds.
    #[schemars(with = "String")]
    pub prefix: sealock_trust::StreamPrefix,
    /// The file of the root, relative to the spec.
    pub root: PathBuf,
    /// SHA-256 of that file, `sha256:…`, as it came on paper.
    #[schemars(with = "String")]
    pub fingerprint: sealock_trust::Digest,
    /// The sequence with which its streams begin at this site, where the publisher said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<u64>,
    /// What the names of its artifacts begin with, in whole words, like `quay.io/acme`; others are refused. Needed for every
    /// prefix but `base` and `*`; `["*"]` allows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub names: Vec<sealock_trust::NamePrefix>,
}
