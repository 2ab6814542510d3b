//! The kind `Bundle`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use sealock_trust::Digest;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::duration::Days;
use super::gpg::{ChartRule, FileRule};
use super::guesses::GuessRules;
use super::os_packages::OsPackageSet;
use super::select::{ComponentSpec, VariantSpec};
use super::verify::{VerifyMatch, VerifyRule};
use crate::add_ons::AddOnSpec;
use crate::document::{ApiVersion, Document};
use crate::names::{BundleName, KubernetesVersion, Platform, SiteId, Stream};
use crate::parameters::ParameterSpec;
use crate::reference::Reference;

/// A bundle spec: everything that shall be carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// `sealock/v1alpha1`.
    pub api_version: ApiVersion,
    /// `Bundle`.
    pub kind: BundleKind,
    /// What the bundle is called.
    pub metadata: BundleMetadata,
    /// What it carries.
    pub spec: BundleSpec,
}

impl Document for Bundle {
    const KIND: &'static str = "Bundle";
}

/// The value of `kind` in a [`Bundle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BundleKind {
    /// `Bundle`.
    #[default]
    Bundle,
}

/// What a bundle is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleMetadata {
    /// The name of the bundle: a DNS label. The file is called after it.
    pub name: BundleName,
    /// The line of bundles that it continues, like `base` or `apps/payments`.
    #[schemars(with = "String")]
    pub stream: Stream,
}

/// What a bundle carries, for whom, and under which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleSpec {
    /// The sites that may import it.
    pub audience: Audience,
    /// The platforms whose images and binaries are carried; `linux/amd64` alone when left out.
    #[serde(default = "default_platforms")]
    pub platforms: Vec<Platform>,
    /// How long the bundle is good, counted from the lock's issue time.
    #[serde(default)]
    pub validity: Validity,
    /// Everything that kubeadm needs to make clusters of these versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesSpec>,
    /// Rules for images that bring none of their own: those of Kubernetes, of charts and of manifests. The narrowest pattern that fits holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<VerifyMatch>,
    /// What travels along of that which refers to an image upstream: its signatures, its SBOMs, who built it.
    #[serde(default, skip_serializing_if = "Referrers::is_default")]
    pub referrers: Referrers,
    /// Whether SBOMs are made for images that bring none.
    #[serde(default, skip_serializing_if = "Sboms::is_default")]
    pub sboms: Sboms,
    /// Container images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageSpec>,
    /// Helm charts, and the images that they name when rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<ChartSpec>,
    /// Files, or folders of files, with Kubernetes manifests; the images that they name come along. Paths are relative to the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<PathBuf>,
    /// Files from the web.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSpec>,
    /// Sealock's own inside binaries, which a site takes with `sealock site update` once the bundle is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealock: Vec<SealockSpec>,
    /// Sets of packages for the hosts themselves, from archives of Debian packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub os_packages: Vec<OsPackageSet>,
    /// Parts that may be optional.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentSpec>,
    /// What is different for some sites, by a name that `sealock lock --variant` takes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, VariantSpec>,
    /// Values that a person gives when the spec is locked, by name. `$(parameters.NAME)` stands for one in manifests, in the
    /// values of charts, and in tags and versions of this spec.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// What looks like an image in charts and manifests, and whether it is carried.
    #[serde(default, skip_serializing_if = "GuessRules::is_empty")]
    pub guesses: GuessRules,
    /// Secret objects and likely credentials in charts and manifests that may be carried all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_secrets: Vec<AcceptedSecret>,
}

/// What travels along of that which refers to an image upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Referrers {
    /// Nothing.
    None,
    /// Signatures.
    Signatures,
    /// Everything: signatures, SBOMs, provenance and whatever else there is.
    #[default]
    All,
}

/// Whether SBOMs are made for images that bring none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Sboms {
    /// No: those travel that upstream has.
    #[default]
    Upstream,
    /// Made by syft where the image has none; kept in `sboms/` beside the spec, and carried.
    Generate,
}

impl Sboms {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Referrers {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_platforms() -> Vec<Platform> {
    vec![Platform::linux_amd64()]
}

/// The sites that may import a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Audience {
    /// Their ids. A site whose id is missing refuses the bundle.
    #[schemars(with = "Vec<String>")]
    pub sites: Vec<SiteId>,
    /// The classification that a site must carry to import the bundle; any, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<String>,
}

/// How long a bundle is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Validity {
    /// From then on its age is reported.
    pub soft: Days,
    /// From then on it is refused.
    pub hard: Days,
}

impl Default for Validity {
    fn default() -> Self {
        Self { soft: Days::new(90), hard: Days::new(365) }
    }
}

/// Everything that kubeadm needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesSpec {
    /// The versions; several carry an upgrade with all its hops.
    pub versions: Vec<KubernetesVersion>,
    /// Where the pod network comes from; the built-in `routed` when left out.
    #[serde(default)]
    pub cni: PodNetwork,
    /// Versions of components, like `containerd: v2.4.2`, in place of those in the reviewed table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, String>,
    /// What most clusters want beside Kubernetes itself: their images, and manifests that an app brings to a cluster as `add-ons/NAME.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_ons: Vec<AddOnSpec>,
}

/// Where the pod network comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PodNetwork {
    /// Built in: static routes between nodes on one segment.
    #[default]
    Routed,
    /// Among the charts or manifests.
    External,
}

/// One container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageSpec {
    /// The reference, as a manifest would write it.
    #[serde(rename = "ref")]
    pub reference: Reference,
    /// Who must have signed it, or why it may come unsigned; where it is left out, a rule of the bundle's `verify` has to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyRule>,
}

/// One Helm chart: from a chart repository (`repository` and `name`), or from a registry (`oci`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartSpec {
    /// The name of the chart.
    pub name: String,
    /// URL of the chart repository, `https://…`: the folder that holds `index.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The chart in a registry, without `oci://` and tag: `ghcr.io/stefanprodan/charts/podinfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<String>,
    /// The exact version.
    pub version: String,
    /// Values that it is rendered with to find its images: files relative to the spec, or mappings; a later one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ChartValues>,
    /// The namespace that it is rendered for; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Images that the chart uses without naming them where rendering shows it, such as those an operator starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Reference>,
    /// Who must have signed the chart's provenance file; it travels along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<ChartRule>,
}

/// Values of a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ChartValues {
    /// A file of values.
    File(PathBuf),
    /// The values themselves.
    Inline(serde_json::Map<String, serde_json::Value>),
}

impl<'de> Deserialize<'de> for ChartValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileOrMapping)
    }
}

struct FileOrMapping;

impl<'de> Visitor<'de> for FileOrMapping {
    type Value = ChartValues;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path, or a mapping of values")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<ChartValues, E> {
        Ok(ChartValues::File(PathBuf::from(path)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChartValues, A::Error> {
        serde_json::Map::deserialize(MapAccessDeserializer::new(map)).map(ChartValues::Inline)
    }
}

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartSource<'a> {
    /// A chart repository at this URL.
    Repository(&'a str),
    /// A registry: host and path, no tag.
    Oci(&'a str),
}

impl ChartSpec {
    /// Where the chart comes from; none where the spec names no source, or two.
    pub fn source(&self) -> Option<ChartSource<'_>> {
        match (&self.repository, &self.oci) {
            (Some(url), None) => match url.strip_prefix("oci://") {
                Some(_) => None,
                None => Some(ChartSource::Repository(url)),
            },
            (None, Some(name)) => Some(ChartSource::Oci(name.strip_prefix("oci://").unwrap_or(name))),
            _ => None,
        }
    }
}

/// One file from the web.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSpec {
    /// Where it is downloaded, `https://…`.
    pub url: String,
    /// The digest that it must have.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// The tag that it travels under; the first twelve hexadecimal digits of the digest when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who must have signed the file; the signature travels along. The file is downloaded to check it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<FileRule>,
}

/// An inside binary of Sealock, for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealockSpec {
    /// The file, relative to the spec. Version and platform are read in it.
    pub path: PathBuf,
    /// The digest that it must have.
    #[schemars(with = "String")]
    pub digest: Digest,
}

/// A secret that may be carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedSecret {
    /// Namespace and name of the object: `monitoring/grafana-admin`.
    pub name: String,
    /// Why, in words.
    pub reason: String,
}
