//! Releases: numbered, immutable selections of the store that a site serves (docs/formats/release.md).

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_trust::format;
use sealock_trust::json::{self, Limits, jcs};
use sealock_trust::receipt::Exception;
use sealock_trust::{Digest, RoleName, StreamName};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The format of the payload, as it stands in its field `format`.
pub const FORMAT: &str = format::RELEASE.current;

/// The DSSE payload type of a release file.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.release.v1+json";

/// The annotation that names the stream which `release unhold` was about.
const UNHELD: &str = "unheld";

/// Bytes of a release's envelope beside its payload, at most.
const ROOM_FOR_SIGNATURES: usize = 64 << 10;

/// What a site serves: the newest accepted bundle of each stream, and what these bundles name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// [`FORMAT`].
    pub format: String,
    /// From 1, without gaps.
    pub number: u64,
    /// The SHA-256 digest of the file of release `number - 1`; none in release 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
    /// Why it was published.
    pub cause: Cause,
    /// When it was published.
    pub issued: Timestamp,
    /// The selected bundle of each stream, sorted by stream.
    pub streams: Vec<Selection>,
    /// Everything that can be asked for by name, sorted by name and stream.
    pub references: Vec<Reference>,
    /// The generation of the trust state when it was published: a mirror that tells an older copy of that state.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trust_generation: Option<u64>,
    /// What was let pass when the selected bundle of a stream was accepted, by stream.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub exceptions: BTreeMap<String, Vec<Exception>>,
    /// What later minor versions add.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: BTreeMap<String, String>,
}

/// Why a release was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Cause {
    /// A bundle was accepted.
    Import {
        /// The stream of the bundle.
        stream: String,
        /// The sequence of the bundle.
        sequence: u64,
    },
    /// An older selection was restored.
    Rollback {
        /// The number of the release whose selection it is.
        to: u64,
    },
}

/// The bundle that a release selects from one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The stream.
    pub stream: String,
    /// The number of the bundle in its stream.
    pub sequence: u64,
    /// The digest of the manifest of the bundle.
    pub manifest: Digest,
    /// Whether newer bundles of the stream are kept out until `release unhold`.
    pub held: bool,
    /// The publisher under whose root it was accepted, by the fingerprint of the root that the site enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Digest>,
}

/// One artifact, by the name that charts and manifests use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The full reference: `registry.k8s.io/pause:3.10.2`, or with `@` and a digest in the place of the tag.
    pub name: String,
    /// What it is.
    pub kind: ReferenceKind,
    /// The digest of its OCI manifest or image index.
    pub digest: Digest,
    /// The media type of that manifest or index.
    pub media_type: String,
    /// The digest that it refers to, for [`ReferenceKind::Referrer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The size of that manifest or index, in bytes.
    pub size: u64,
    /// The stream that brought it.
    pub stream: String,
    /// The vendor who vouches for it beside the publisher of the stream, where its name is delegated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<RoleName>,
}

/// What a reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceKind {
    /// A container image.
    Image,
    /// A Helm chart.
    Chart,
    /// A file, such as a binary of Kubernetes.
    File,
    /// A file of Kubernetes manifests.
    Manifest,
    /// What refers to another artifact: its signature, its SBOM, who built it.
    Referrer,
    /// An attestation that the publisher makes: the verification summary.
    Attestation,
    /// Sealock's own binary, for the station.
    Sealock,
    /// A set of packages for the hosts themselves.
    OsPackages,
}

impl Release {
    /// The release that follows `current` when the bundle `selection` with its `references` is accepted: everything of
    /// its stream is replaced, everything of the other streams stays.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where one name has two digests.
    pub fn after(
        current: Option<&Published>,
        selection: Selection,
        references: Vec<Reference>,
        issued: Timestamp,
    ) -> Result<Self, StoreError> {
        let cause = Cause::Import { stream: selection.stream.clone(), sequence: selection.sequence };
        let old = current.map(|published| &published.release);
        let is_other = |stream: &String| *stream != selection.stream;
        let mut release = Self {
            format: FORMAT.into(),
            number: old.map_or(1, |old| old.number + 1),
            previous: current.map(|published| published.digest.clone()),
            cause,
            issued,
            streams: old
                .map_or_else(Vec::new, |old| old.streams.iter().filter(|s| is_other(&s.stream)).cloned().collect()),
            references: old
                .map_or_else(Vec::new, |old| old.references.iter().filter(|r| is_other(&r.stream)).cloned().collect()),
            trust_generation: old.and_then(|old| old.trust_generation),
            exceptions: old.map(|old| old.exceptions.clone()).unwrap_or_default(),
            annotations: BTreeMap::new(),
        };
        release.exceptions.remove(&selection.stream);
        release.streams.push(selection);
        release.references.extend(references);
        release.sort();
        release.check_conflicts()?;
        release.check_limits()?;
        Ok(release)
    }

    /// The release that follows `current` and selects what the release `to` selected, every stream of it held: newer bundles
    /// stay out until [`Release::without_hold`].
    pub fn back_to(current: &Published, to: &Release, issued: Timestamp) -> Self {
        let held = |selection: &Selection| Selection { held: true, ..selection.clone() };
        Self {
            format: FORMAT.into(),
            number: current.release.number + 1,
            previous: Some(current.digest.clone()),
            cause: Cause::Rollback { to: to.number },
            issued,
            streams: to.streams.iter().map(held).collect(),
            references: to.references.clone(),
            trust_generation: current.release.trust_generation,
            exceptions: to.exceptions.clone(),
            annotations: BTreeMap::new(),
        }
    }

    /// The release that follows `current` and holds the stream of `selection` no more: it selects that bundle, which the
    /// release `from` has brought.
    ///
    /// # Errors
    /// As [`Release::after`].
    pub fn without_hold(
        current: &Published,
        from: &Release,
        selection: &Selection,
        issued: Timestamp,
    ) -> Result<Self, StoreError> {
        let stream = &selection.stream;
        let references = from.references.iter().filter(|reference| reference.stream == *stream).cloned().collect();
        let selection = Selection { held: false, ..selection.clone() };
        let mut release = Self::after(Some(current), selection.clone(), references, issued)?;
        if let Some(exceptions) = from.exceptions.get(stream) {
            release.exceptions.insert(stream.clone(), exceptions.clone());
        }
        // The cause is that of the bundle's import: an older Sealock reads it, and passes the annotation over.
        release.annotations.insert(UNHELD.into(), selection.stream);
        Ok(release)
    }

    /// The stream that is held no more, where this is why the release was published.
    pub fn unheld(&self) -> Option<&str> {
        self.annotations.get(UNHELD).map(String::as_str)
    }

    /// Names the generation of the trust state, and what was let pass for the bundle that is the cause.
    pub fn with_trust(mut self, generation: u64, exceptions: Vec<Exception>) -> Self {
        self.trust_generation = Some(generation);
        if let Cause::Import { stream, .. } = &self.cause
            && !exceptions.is_empty()
        {
            self.exceptions.insert(stream.clone(), exceptions);
        }
        self
    }

    /// The selected bundle of `stream`, if there is one.
    pub fn selection(&self, stream: &str) -> Option<&Selection> {
        self.streams.iter().find(|selection| selection.stream == stream)
    }

    /// The digest that `name` stands for, if the release has it.
    pub fn resolve(&self, name: &str) -> Option<&Reference> {
        let at = self.references.binary_search_by(|reference| reference.name.as_str().cmp(name)).ok()?;
        self.references.get(at)
    }

    /// Whether the bundle with this manifest is selected.
    pub fn selects(&self, manifest: &Digest) -> bool {
        self.streams.iter().any(|selection| selection.manifest == *manifest)
    }

    fn sort(&mut self) {
        self.streams.sort_by(|a, b| a.stream.cmp(&b.stream));
        self.references.sort_by(|a, b| (&a.name, &a.stream, &a.digest).cmp(&(&b.name, &b.stream, &b.digest)));
        self.references.dedup();
    }

    /// The same name may come from two streams, but then it is the same content.
    /// A release beyond what its readers take would be the last one: neither the server nor the next import could read it.
    pub(crate) fn check_limits(&self) -> Result<(), StoreError> {
        let too_large = |source| StoreError::ReleaseTooLarge { number: self.number, source };
        let payload = jcs::to_vec(self).map_err(too_large)?;
        let limit = Limits::MANIFEST.bytes;
        if payload.len().div_ceil(3) * 4 + ROOM_FOR_SIGNATURES > limit {
            return Err(too_large(json::Error::Limit { what: "bytes", limit }));
        }
        json::parse(&payload, &Limits::MANIFEST).map(drop).map_err(too_large)
    }

    pub(crate) fn check_conflicts(&self) -> Result<(), StoreError> {
        for pair in self.references.windows(2) {
            let [first, second] = pair else { continue };
            if first.name == second.name && first.digest != second.digest {
                return Err(StoreError::Conflict {
                    name: first.name.clone(),
                    first_stream: first.stream.clone(),
                    first_digest: first.digest.clone(),
                    second_stream: second.stream.clone(),
                    second_digest: second.digest.clone(),
                });
            }
        }
        Ok(())
    }

    /// What the types alone do not say about a release that was read.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let names_a_stream = |selection: &Selection| selection.stream.parse::<StreamName>().is_ok();
        let streams_sorted = self.streams.windows(2).all(|pair| pair[0].stream < pair[1].stream);
        let key = |reference: &Reference| (reference.name.clone(), reference.stream.clone());
        let references_sorted = self.references.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        let selected = |stream: &String| self.selection(stream).is_some();
        match () {
            () if self.number == 0 => Some("releases are numbered from 1"),
            () if (self.number == 1) != self.previous.is_none() => Some("only release 1 has no previous one"),
            () if !self.streams.iter().all(names_a_stream) => Some("one of its streams has an illegal name"),
            () if !streams_sorted => Some("its streams are not sorted, or one stands in it twice"),
            () if !references_sorted => Some("its references are not sorted, or one stands in it twice"),
            () if !self.exceptions.keys().all(selected) => Some("an exception is of a stream it does not select"),
            () if !self.references.iter().all(|r| selected(&r.stream)) => {
                Some("a reference is of a stream it does not select")
            }
            () => None,
        }
    }
}

/// A release that was published, and whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The release.
    pub release: Release,
    /// The SHA-256 digest of its file.
    pub digest: Digest,
}
