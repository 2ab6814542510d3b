//! Which artifacts need a blob: found by reading the OCI manifests that are at hand.

use std::collections::{BTreeMap, BTreeSet};

use sealock_trust::Digest;
use serde::Deserialize;

use crate::archive::{ArchiveError, BlobReader, BlobSink, Taken};
use crate::lock::BlobRole;
use crate::manifest::{Blob, Manifest, Patch};

/// What containerd reads at most, in bytes.
const LONGEST_MANIFEST: u64 = 4 << 20;
/// How deep indexes may nest.
const DEEPEST: usize = 8;
/// Steps from a manifest to what it names, at most; beyond that, who needs a blob is not said.
const MOST_STEPS: usize = 2_000_000;

/// The fields of an index or manifest that lead on (OCI image specification 1.1).
#[derive(Debug, Deserialize)]
struct Parts {
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: Digest,
}

/// Indexes and manifests with what they name.
#[derive(Debug, Default)]
pub(super) struct Parents(BTreeMap<Digest, Vec<Digest>>);

impl Parents {
    /// Whether the blob leads on to others.
    pub(super) fn is_one(blob: &Blob) -> bool {
        matches!(blob.role, BlobRole::Index | BlobRole::Manifest) && blob.size <= LONGEST_MANIFEST
    }

    /// Adds a blob that should be an index or manifest; what is damaged, or none, names nothing.
    pub(super) fn add(&mut self, digest: &Digest, content: &[u8]) {
        if Digest::of(digest.algorithm(), content) != *digest {
            return;
        }
        let Ok(parts) = serde_json::from_slice::<Parts>(content) else { return };
        let named = parts.config.into_iter().chain(parts.layers).chain(parts.manifests);
        self.0.insert(digest.clone(), named.map(|descriptor| descriptor.digest).collect());
    }

    /// For each of `wanted` the references of `manifest` that lead there.
    pub(super) fn needed_by(
        &self,
        manifest: &Manifest,
        wanted: &BTreeSet<&Digest>,
    ) -> BTreeMap<Digest, BTreeSet<String>> {
        let mut needed = BTreeMap::<Digest, BTreeSet<String>>::new();
        let mut steps = 0;
        for reference in &manifest.references {
            let mut seen = BTreeSet::new();
            let mut next = vec![(&reference.digest, 0)];
            while let Some((digest, depth)) = next.pop() {
                steps += 1;
                if steps > MOST_STEPS {
                    return needed;
                }
                if !seen.insert(digest) {
                    continue;
                }
                if wanted.contains(digest) {
                    needed.entry(digest.clone()).or_default().insert(reference.name.to_string());
                }
                if depth < DEEPEST {
                    next.extend(self.0.get(digest).into_iter().flatten().map(|named| (named, depth + 1)));
                }
            }
        }
        needed
    }
}

/// Takes the indexes and manifests out of a payload, and passes over everything else.
impl BlobSink for Parents {
    type Error = ArchiveError;

    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, ArchiveError> {
        if !Self::is_one(blob) {
            return Ok(Taken::Skipped);
        }
        let mut content = Vec::new();
        while let Some(piece) = data.next_piece()? {
            content.extend_from_slice(piece);
        }
        self.add(&blob.digest, &content);
        Ok(Taken::Whole)
    }

    fn take_patch(&mut self, _: &Blob, _: &Patch, _: &mut BlobReader<'_>) -> Result<Taken, ArchiveError> {
        Ok(Taken::Skipped)
    }
}
