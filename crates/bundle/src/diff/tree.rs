//! Reads the OCI manifests of a side: platforms, layers, and the SBOMs that hang on them.

use std::collections::{BTreeMap, BTreeSet};

use sealock_trust::Digest;
use serde::Deserialize;

use super::Readable;
use super::model::Amount;
use super::side::{Facts, Side};
use crate::artifact::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::lock::BlobRole;
use crate::plain::Plain;
use crate::sbom;

/// Bytes of one manifest at most, which is what containerd reads.
const MAX_MANIFEST: u64 = 4 << 20;
/// Bytes of all manifests of a side at most.
const MAX_MANIFESTS: u64 = 128 << 20;
/// Manifests and indexes below one another at most.
const MAX_DEPTH: usize = 4;
/// Descriptors of one manifest at most.
const MAX_DESCRIPTORS: usize = 4096;

/// What hangs on each artifact of a side.
#[derive(Debug, Default)]
pub(super) struct Trees {
    by_digest: BTreeMap<Digest, Tree>,
    /// SBOM layers by what they are about.
    sboms: BTreeMap<Digest, Vec<Part>>,
}

/// What hangs on one artifact.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Everything, itself included.
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// The layers, in order.
    pub(super) layers: Vec<Part>,
    /// Manifests for one platform each, with the platform.
    pub(super) platforms: BTreeMap<String, Digest>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) media_type: String,
}

impl Tree {
    pub(super) fn content(&self) -> Amount {
        let mut amount = Amount::default();
        self.blobs.values().for_each(|size| amount.add(*size));
        amount
    }
}

impl Trees {
    /// Reads every manifest of `readable`. Where the side lists no blobs, those found become its blobs.
    pub(super) fn of<E>(readable: &mut Readable<'_, E>, notes: &mut Vec<Plain>) -> Result<Self, E> {
        let mut walk = Walk { readable, known: BTreeMap::new(), about: BTreeMap::new(), bytes: 0, notes };
        let mut trees = Self::default();
        for entry in walk.readable.side.entries.clone() {
            let mut tree = Tree::default();
            if trees.get(&entry.digest).is_none() && walk.descend(&entry.digest, None, MAX_DEPTH, &mut tree)? {
                trees.by_digest.insert(entry.digest, tree);
            }
        }
        walk.read_referrers()?;
        for (digest, manifest) in &walk.known {
            let subject = manifest.subject.as_ref().map(|subject| &subject.digest);
            let about = subject.or_else(|| walk.about.get(digest)).unwrap_or(digest);
            let layers = manifest.layers.iter().filter(|layer| sbom::is_media_type(&layer.media_type));
            trees.sboms.entry(about.clone()).or_default().extend(layers.map(Descriptor::part));
        }
        Ok(trees)
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Tree> {
        self.by_digest.get(digest)
    }

    /// The layers that may be SBOMs of the artifact `digest`: of each platform, and of the whole under an empty name.
    pub(super) fn sboms(&self, digest: &Digest) -> BTreeMap<&str, &[Part]> {
        let platforms = self.get(digest).into_iter().flat_map(|tree| &tree.platforms);
        let subjects = std::iter::once(("", digest)).chain(platforms.map(|(name, digest)| (name.as_str(), digest)));
        let found = subjects.filter_map(|(name, digest)| Some((name, self.sboms.get(digest)?.as_slice())));
        found.filter(|(_, parts)| !parts.is_empty()).collect()
    }
}

/// The fields of a manifest or index that are looked at (OCI image specification 1.1).
#[derive(Debug, Deserialize)]
struct Parts {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// Where BuildKit says which manifest of the same index an attestation is about.
const BUILDKIT_SUBJECT: &str = "vnd.docker.reference.digest";

impl Descriptor {
    fn part(&self) -> Part {
        Part { digest: self.digest.clone(), size: self.size, media_type: self.media_type.clone() }
    }

    fn platform(&self) -> Option<String> {
        let Platform { os, architecture, variant } = self.platform.as_ref()?;
        if os == "unknown" {
            return None;
        }
        let variant = variant.iter().map(|variant| format!("/{variant}")).collect::<String>();
        Some(format!("{os}/{architecture}{variant}"))
    }
}

struct Walk<'a, 'r, E> {
    readable: &'a mut Readable<'r, E>,
    known: BTreeMap<Digest, Parts>,
    /// What attestations inside an index are about.
    about: BTreeMap<Digest, Digest>,
    bytes: u64,
    notes: &'a mut Vec<Plain>,
}

impl<E> Walk<'_, '_, E> {
    /// Adds the manifest `digest` and what hangs on it to `tree`; false where it cannot be read.
    fn descend(&mut self, digest: &Digest, platform: Option<String>, depth: usize, tree: &mut Tree) -> Result<bool, E> {
        let Some(size) = self.read(digest)? else { return Ok(false) };
        if tree.blobs.insert(digest.clone(), size).is_some() {
            return Ok(true);
        }
        let Some(parts) = self.known.remove(digest) else { return Ok(true) };
        for blob in parts.config.iter().chain(&parts.layers) {
            // What the side lists was checked against the file; a descriptor is only somebody's word.
            let listed = self.readable.side.blobs.get(&blob.digest).map(|facts| facts.size);
            tree.blobs.insert(blob.digest.clone(), listed.unwrap_or(blob.size));
            let role = if parts.layers.iter().any(|layer| layer.digest == blob.digest) {
                BlobRole::Layer
            } else {
                BlobRole::Config
            };
            self.found(blob, role);
        }
        tree.layers.extend(parts.layers.iter().map(Descriptor::part));
        if let (Some(platform), true) = (platform, parts.manifests.is_empty()) {
            tree.platforms.insert(platform, digest.clone());
        }
        for child in &parts.manifests {
            if let Some(about) = child.annotations.get(BUILDKIT_SUBJECT).and_then(|text| text.parse().ok()) {
                self.about.insert(child.digest.clone(), about);
            }
            if depth > 0 && self.has(&child.digest) {
                self.descend(&child.digest, child.platform(), depth - 1, tree)?;
            }
        }
        self.known.insert(digest.clone(), parts);
        Ok(true)
    }

    /// Platforms that an index names and the side lacks were left out on purpose.
    fn has(&self, digest: &Digest) -> bool {
        !self.readable.side.lists_blobs || self.readable.side.blobs.contains_key(digest)
    }

    /// Reads the manifest `digest` once; its size, where it could be.
    fn read(&mut self, digest: &Digest) -> Result<Option<u64>, E> {
        if self.known.contains_key(digest) {
            return Ok(self.readable.side.blobs.get(digest).map(|facts| facts.size));
        }
        if self.bytes >= MAX_MANIFESTS {
            self.note(format_args!("more than {} MiB of manifests: the rest was not looked into", MAX_MANIFESTS >> 20));
            return Ok(None);
        }
        let Some(bytes) = (self.readable.read)(digest, MAX_MANIFEST)? else { return Ok(None) };
        let size = bytes.len() as u64;
        self.bytes += size;
        let parts = match serde_json::from_slice::<Parts>(&bytes) {
            Ok(parts) if parts.layers.len() + parts.manifests.len() <= MAX_DESCRIPTORS => parts,
            Ok(_) => {
                self.note(format_args!("{digest} names more than {MAX_DESCRIPTORS} parts, and was not looked into"));
                return Ok(None);
            }
            Err(error) => {
                self.note(format_args!("{digest} cannot be read as a manifest: {error}"));
                return Ok(None);
            }
        };
        let role = if parts.manifests.is_empty() { BlobRole::Manifest } else { BlobRole::Index };
        let facts = Facts { size, media_type: String::new(), role };
        self.readable.side.blobs.entry(digest.clone()).or_insert(facts);
        self.known.insert(digest.clone(), parts);
        Ok(Some(size))
    }

    /// Signatures, SBOMs and the like: manifests that no name leads to.
    fn read_referrers(&mut self) -> Result<(), E> {
        let is_manifest = |facts: &Facts| {
            facts.role == BlobRole::Manifest
                || [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&facts.media_type.as_str())
        };
        let side = &self.readable.side;
        let others: BTreeSet<Digest> =
            side.blobs.iter().filter(|(_, facts)| is_manifest(facts)).map(|(digest, _)| digest.clone()).collect();
        for digest in others {
            self.read(&digest)?;
        }
        Ok(())
    }

    fn found(&mut self, blob: &Descriptor, role: BlobRole) {
        let Side { lists_blobs, blobs, .. } = &mut self.readable.side;
        if !*lists_blobs {
            let facts = Facts { size: blob.size, media_type: blob.media_type.clone(), role };
            blobs.entry(blob.digest.clone()).or_insert(facts);
        }
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        if self.notes.len() < 1000 {
            self.notes.push(Plain::of(format_args!("{}: {text}", self.readable.side.summary.label)));
        }
    }
}
