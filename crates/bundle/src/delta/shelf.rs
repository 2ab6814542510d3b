//! Outside: earlier bundles whose blobs are at hand, and which of these is likely to be the base of which layer.

use std::collections::{BTreeMap, BTreeSet};

use sealock_trust::Digest;

use super::needs::Parents;
use crate::archive::{Archive, ArchiveError, Data};
use crate::lock::BlobRole;
use crate::manifest::{Blob, Manifest};

/// How many bases are compared for one layer.
const CANDIDATES: usize = 4;
/// An index or manifest that is longer is not read.
const LONGEST_MANIFEST: u64 = 4 << 20;

/// Bundles that were built before, whole or as deltas, with what they carry.
#[derive(Debug, Default)]
pub struct Shelf {
    bundles: Vec<(Archive, Manifest)>,
}

impl Shelf {
    /// Adds a bundle. What is used of it is compared with its digest first.
    ///
    /// # Errors
    /// When its manifest cannot be read.
    pub fn add(&mut self, bundle: Archive) -> Result<(), ArchiveError> {
        let manifest = bundle.unverified_manifest()?;
        bundle.check_frame(&manifest)?;
        self.bundles.push((bundle, manifest));
        Ok(())
    }

    /// Whether there is anything.
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// The bytes of a blob.
    pub(super) fn find(&self, digest: &Digest) -> Option<Data> {
        self.bundles.iter().find_map(|(bundle, manifest)| {
            let blob = manifest.carried().find(|blob| blob.digest == *digest)?;
            Some(bundle.data(blob.offset?, blob.size))
        })
    }

    /// For each layer that `next` carries, the held ones that it may have come from, the likeliest first: those of the same
    /// repositories, then those of about the same size.
    pub(super) fn candidates(
        &self,
        next: (&Archive, &Manifest),
        held: &BTreeMap<&Digest, u64>,
    ) -> BTreeMap<Digest, Vec<Digest>> {
        let mut parents = Parents::default();
        for (bundle, manifest) in self.bundles.iter().map(|(bundle, manifest)| (bundle, manifest)).chain([next]) {
            read_parents(bundle, manifest, &mut parents);
        }
        let (_, manifest) = next;
        let layers: Vec<&Blob> = manifest.carried().filter(|blob| blob.role == BlobRole::Layer).collect();
        let homes = repositories(&parents, manifest, &layers);
        let mut there = BTreeMap::new();
        for (_, earlier) in &self.bundles {
            let is_held = |blob: &&Blob| blob.role == BlobRole::Layer && held.get(&blob.digest) == Some(&blob.size);
            let layers: Vec<&Blob> = earlier.carried().filter(is_held).collect();
            let mut homes = repositories(&parents, earlier, &layers);
            for blob in layers {
                let (_, of_blob) = there.entry(&blob.digest).or_insert_with(|| (blob.size, BTreeSet::new()));
                of_blob.extend(homes.remove(&blob.digest).into_iter().flatten());
            }
        }
        let none = BTreeSet::new();
        let likeliest = |layer: &&Blob| {
            let home = homes.get(&layer.digest).unwrap_or(&none);
            let mut bases: Vec<_> = there
                .iter()
                .map(|(digest, (size, of_blob))| (home.is_disjoint(of_blob), size.abs_diff(layer.size), *digest))
                .collect();
            bases.sort();
            (layer.digest.clone(), bases.into_iter().take(CANDIDATES).map(|(.., digest)| digest.clone()).collect())
        };
        layers.iter().map(likeliest).collect()
    }
}

/// The repositories that each of `layers` is in.
fn repositories(parents: &Parents, manifest: &Manifest, layers: &[&Blob]) -> BTreeMap<Digest, BTreeSet<String>> {
    let wanted = layers.iter().map(|blob| &blob.digest).collect();
    let names = parents.needed_by(manifest, &wanted);
    let repository = |name: &String| manifest.reference(name).map(|reference| reference.name.repository().to_owned());
    names.into_iter().map(|(digest, names)| (digest, names.iter().filter_map(repository).collect())).collect()
}

/// What cannot be read leads nowhere: then size alone says what is likely.
fn read_parents(bundle: &Archive, manifest: &Manifest, parents: &mut Parents) {
    for blob in manifest.carried().filter(|blob| Parents::is_one(blob)) {
        if let Ok(Some(content)) = bundle.small_blob(blob, LONGEST_MANIFEST) {
            parents.add(&blob.digest, &content);
        }
    }
}
