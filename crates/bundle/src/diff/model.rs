//! The result, as `sealock diff -o json` writes it.

use jiff::Timestamp;
use schemars::JsonSchema;
use sealock_trust::format;
use serde::Serialize;

use crate::plain::Plain;
use crate::sbom;

/// The value of `format`.
pub(super) const FORMAT: &str = format::DIFF.current;

/// What is different.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Diff {
    /// `diff/1.0`.
    pub format: String,
    /// Whether anything that is compared differs. Times, sequence and tool alone are a difference too.
    pub differs: bool,
    /// The first side.
    pub old: SideSummary,
    /// The second side.
    pub new: SideSummary,
    /// What an approver has to see first, alarms before notices.
    pub alerts: Vec<Alert>,
    /// What changed about the whole: audience, times, signers.
    pub facts: Vec<FactChange>,
    /// Artifacts that changed, came or went: by kind, then by name.
    pub artifacts: Vec<ArtifactChange>,
    /// How many artifacts are the same on both sides.
    pub unchanged: Vec<Unchanged>,
    /// What has to travel.
    pub transfer: Transfer,
    /// Changed texts, line by line.
    pub texts: Vec<TextChange>,
    /// Changed packages, where both sides carry an SBOM.
    pub packages: Vec<PackageChanges>,
    /// What could not be looked into, and why.
    pub notes: Vec<Plain>,
}

/// One side.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SideSummary {
    /// The file, or `release 3`.
    pub label: Plain,
    /// What it is.
    pub source: Source,
    /// How far it was verified.
    pub trust: Trust,
    /// The digest of its manifest, lock or release.
    pub digest: Plain,
    /// The keys that signed the bundle: verified where `trust` says so, else claimed.
    pub signers: Vec<Plain>,
    /// Name of the bundle; none of a release.
    pub name: Option<Plain>,
    /// Stream with its sequence; several of a release.
    pub streams: Vec<StreamPosition>,
    /// The digest of the manifest before this one.
    pub previous: Option<Plain>,
    /// When it was locked or published.
    #[schemars(with = "String")]
    pub issued: Timestamp,
    /// From then on its age is reported.
    #[schemars(with = "Option<String>")]
    pub soft_expiry: Option<Timestamp>,
    /// From then on it is refused.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// The sites it is for.
    pub sites: Vec<Plain>,
    /// The classification it demands.
    pub classification: Option<Plain>,
    /// What it is carried for.
    pub platforms: Vec<Plain>,
    /// What the parameters of the spec were, by name; empty of a release.
    pub parameters: Vec<Parameter>,
    /// What made it.
    pub tool: Option<Plain>,
    /// To whom names are delegated: role, threshold, keys and names of each. Empty for a release, which names the role alone.
    pub vendors: Vec<Plain>,
    /// Notes of the publisher: `key=value`.
    pub annotations: Vec<Plain>,
    /// The publisher's revocation list that travels along; none of a lock or a release.
    pub revocations: Option<CarriedList>,
    /// Artifacts that it names.
    pub artifacts: u64,
    /// Its blobs.
    pub content: Amount,
}

/// A revocation list in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CarriedList {
    /// Counted up by one with each list.
    pub version: u64,
    /// From then on a newer one is due.
    #[schemars(with = "String")]
    pub expires: Timestamp,
    /// The digests and keys that are revoked.
    pub revoked: Vec<Plain>,
}

/// A stream and a number in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StreamPosition {
    /// The stream.
    pub stream: Plain,
    /// The sequence.
    pub sequence: u64,
}

/// A parameter of the spec, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Parameter {
    /// Its name.
    pub name: Plain,
    /// Its value.
    pub value: Plain,
}

/// What a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A bundle.
    Bundle,
    /// A lock.
    Lock,
    /// A release of this station.
    Release,
}

/// How far a side was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Signatures, expiry and every byte hold under the publisher's root.
    Verified,
    /// The release is signed by this site.
    Site,
    /// Only read: anybody could have written it.
    Read,
}

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something that protected before protects no longer.
    Alarm,
    /// Worth a look.
    Notice,
}

/// One thing that an approver has to see first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alert {
    /// How loud.
    pub level: Level,
    /// Its stable name, as docs/formats/diff.md lists them.
    pub code: &'static str,
    /// The artifact, or `bundle`.
    pub about: Plain,
    /// What happened, in words.
    pub text: Plain,
}

/// One fact that changed; empty where it is not said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FactChange {
    /// Which.
    pub fact: &'static str,
    /// Before.
    pub old: Plain,
    /// After.
    pub new: Plain,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A container image.
    Image,
    /// A Helm chart.
    Chart,
    /// A file of Kubernetes manifests.
    Manifest,
    /// A program that Kubernetes needs beside its images: a file for one platform.
    Component,
    /// Any other file.
    File,
    /// What refers to another artifact: its signature, its SBOM, who built it.
    Referrer,
    /// What the publisher attests: the verification summary.
    Attestation,
    /// Sealock's own binary, for the station.
    Sealock,
    /// A set of packages for hosts.
    OsPackages,
}

impl Kind {
    /// Every kind, in the order they are shown.
    pub const ALL: [Self; 9] = [
        Self::Image,
        Self::Chart,
        Self::Manifest,
        Self::Component,
        Self::File,
        Self::Referrer,
        Self::Attestation,
        Self::Sealock,
        Self::OsPackages,
    ];

    /// What several are called.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Chart => "charts",
            Self::Manifest => "manifests",
            Self::Component => "components",
            Self::File => "files",
            Self::Referrer => "referrers",
            Self::Attestation => "attestations",
            Self::Sealock => "binaries of Sealock",
            Self::OsPackages => "sets of OS packages",
        }
    }
}

/// What happened to an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The same name stands for other content.
    Changed,
    /// Another version of the same repository took its place.
    Replaced,
    /// Only what was checked of its origin, or its platforms, changed.
    Metadata,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// One artifact that changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArtifactChange {
    /// What happened.
    pub change: Change,
    /// What it is.
    pub kind: Kind,
    /// Before; none where it is new.
    pub old: Option<State>,
    /// After; none where it is gone.
    pub new: Option<State>,
    /// What of it the old side lacks; unknown where its manifests could not be read.
    pub travels: Option<Amount>,
}

impl ArtifactChange {
    /// The name to list it under: the new one where there is one.
    pub fn name(&self) -> &Plain {
        static NONE: std::sync::LazyLock<Plain> = std::sync::LazyLock::new(Plain::default);
        self.new.as_ref().or(self.old.as_ref()).map_or(&NONE, |state| &state.name)
    }
}

/// An artifact on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct State {
    /// Its name.
    pub name: Plain,
    /// Its digest.
    pub digest: Plain,
    /// All its blobs; unknown where its manifests could not be read.
    pub content: Option<Amount>,
    /// What it is carried for; empty where that is unknown.
    pub platforms: Vec<Plain>,
    /// What the check of its origin came to; none in a release, which does not say.
    pub origin: Option<Origin>,
    /// The vendor who has to vouch for it beside the publisher, where its name is delegated.
    pub vendor: Option<Plain>,
}

/// What the check of an artifact's origin came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Origin {
    /// The rule: `unsigned`, `key`, `checksum`, `local` and whatever else the lock knows.
    pub rule: Plain,
    /// Who vouches for it, beside the rule: `key=sha256:…`. Empty for nobody.
    pub by: Plain,
    /// The reason given.
    pub reason: Option<Plain>,
}

/// Blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Bytes of all together.
    pub bytes: u64,
}

impl Amount {
    /// One more blob of `bytes`.
    pub(super) fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Artifacts of one kind that are the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unchanged {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub count: u64,
}

/// What has to travel.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Transfer {
    /// Blobs that only the new side has.
    pub new: Amount,
    /// Blobs that both have.
    pub shared: Amount,
    /// Blobs that only the old side has.
    pub gone: Amount,
    /// The layers among the new ones.
    pub new_layers: Amount,
    /// The layers among the gone ones.
    pub gone_layers: Amount,
    /// New layers, the heaviest first; at most a hundred.
    pub heaviest: Vec<Layer>,
}

impl Transfer {
    pub(super) fn is_none_needed(&self) -> bool {
        self.new.blobs == 0 && self.gone.blobs == 0
    }
}

/// One new layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Layer {
    /// Its digest.
    pub digest: Plain,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its media type.
    pub media_type: Plain,
}

/// A text that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TextChange {
    /// The artifact, and the file in it where it has several.
    pub name: Plain,
    /// The lines of a unified diff; values in Secret objects are hidden.
    pub lines: Vec<Plain>,
    /// How many more lines there were.
    pub left_out: u64,
    /// Whether a hidden value changed.
    pub secrets_changed: bool,
}

/// Packages that changed in one artifact.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PackageChanges {
    /// The artifact.
    pub artifact: Plain,
    /// How the two SBOMs are written.
    pub formats: [sbom::Format; 2],
    /// How many packages each names.
    pub counts: [u64; 2],
    /// Changed, then added, then removed packages; by name.
    pub changes: Vec<PackageChange>,
    /// How many more there were.
    pub left_out: u64,
}

/// One package that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageChange {
    /// Its package URL without version, or its name.
    pub name: Plain,
    /// The versions before; empty where it is new.
    pub old: Vec<Plain>,
    /// The versions after; empty where it is gone.
    pub new: Vec<Plain>,
}
