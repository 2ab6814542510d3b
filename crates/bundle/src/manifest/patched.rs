//! What a delta carries in the place of blobs: patches.

use std::collections::BTreeSet;

use sealock_trust::{Digest, format};
use serde::{Deserialize, Serialize};

use super::{Blob, Manifest};
use crate::archive::layout;
use crate::patch;

/// What is carried in the place of a blob: its difference from one that the site holds (docs/formats/layer-patch.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Patch {
    /// [`patch::FORMAT`].
    pub format: String,
    /// What made it: another version may make another one.
    pub tool: String,
    /// The digest of the patch.
    pub digest: Digest,
    /// The length of the patch, in bytes.
    pub size: u64,
    /// Where its first byte stands, in bytes from the end of the header.
    pub offset: u64,
    /// The blob that it builds on. An earlier bundle brought it to the site.
    pub base: Digest,
    /// The length of that blob, in bytes.
    pub base_size: u64,
}

/// What the patches of a bundle save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Patching {
    /// Layers that come as patches.
    pub layers: u64,
    /// Bytes of the patches.
    pub bytes: u64,
    /// Bytes of the layers.
    pub instead_of: u64,
}

/// What the archive carries at one place.
#[derive(Clone, Copy, Debug)]
pub enum Carried<'a> {
    /// The blob itself.
    Whole(&'a Blob),
    /// The patch that makes the blob.
    Patch(&'a Blob, &'a Patch),
}

impl<'a> Carried<'a> {
    /// The name of what is carried.
    pub fn digest(self) -> &'a Digest {
        match self {
            Self::Whole(blob) => &blob.digest,
            Self::Patch(_, patch) => &patch.digest,
        }
    }

    /// Its length, in bytes.
    pub fn size(self) -> u64 {
        match self {
            Self::Whole(blob) => blob.size,
            Self::Patch(_, patch) => patch.size,
        }
    }

    pub(super) fn offset(self) -> Option<u64> {
        match self {
            Self::Whole(blob) => blob.offset,
            Self::Patch(_, patch) => Some(patch.offset),
        }
    }
}

impl Blob {
    /// What the archive carries of it, if it carries something.
    pub(super) fn carried(&self) -> Option<Carried<'_>> {
        match (&self.patch, self.offset) {
            (Some(patch), _) => Some(Carried::Patch(self, patch)),
            (None, Some(_)) => Some(Carried::Whole(self)),
            (None, None) => None,
        }
    }
}

impl Manifest {
    /// The blobs of which the archive carries patches.
    pub fn patched(&self) -> impl Iterator<Item = (&Blob, &Patch)> {
        self.blobs.iter().filter_map(|blob| Some((blob, blob.patch.as_ref()?)))
    }

    /// What patches save.
    pub fn patching(&self) -> Patching {
        self.patched().fold(Patching::default(), |sum, (blob, patch)| Patching {
            layers: sum.layers + 1,
            bytes: sum.bytes.saturating_add(patch.size),
            instead_of: sum.instead_of.saturating_add(blob.size),
        })
    }

    /// The same contents as they are carried without patches, and without a base: what two deltas of one lock and receipt
    /// have in common.
    pub fn without_patches(&self) -> Self {
        let mut manifest = Self { base: None, ..self.clone() };
        for blob in manifest.blobs.iter_mut().filter(|blob| blob.patch.is_some()) {
            (blob.patch, blob.offset) = (None, Some(0));
        }
        manifest.place();
        manifest
    }

    /// Puts everything that is carried in its place.
    pub(crate) fn place(&mut self) {
        let offsets = layout::offsets(self.entries().map(|entry| (entry.digest(), entry.size())));
        let mut offsets = offsets.into_iter();
        for blob in self.blobs.iter_mut().filter(|blob| blob.carried().is_some()) {
            let offset = offsets.next();
            match &mut blob.patch {
                Some(patch) => patch.offset = offset.unwrap_or_default(),
                None => blob.offset = offset,
            }
        }
    }

    /// A patch is a blob of its own, smaller than what it makes, on a base that is at the site and not in this bundle: so
    /// none ever waits for another one.
    pub(super) fn problem_of_patches(&self, blobs: &BTreeSet<&Digest>) -> Option<String> {
        let here: BTreeSet<&Digest> = self.entries().map(Carried::digest).collect();
        let made: BTreeSet<&Digest> = self.patched().map(|(blob, _)| &blob.digest).collect();
        let mut patches = BTreeSet::new();
        self.patched().find_map(|(blob, patch)| {
            let of = &blob.digest;
            match () {
                () if format::LAYER_PATCH.check(&patch.format).is_err() => Some(format!(
                    "the patch of {of} has the format {:?}, and {:?} is understood",
                    patch.format,
                    patch::FORMAT
                )),
                () if blob.offset.is_some() => Some(format!("{of} is carried whole and as a patch")),
                () if patch.size == 0 || patch.size >= blob.size => {
                    Some(format!("the patch of {of} is not smaller than what it makes"))
                }
                () if blobs.contains(&patch.digest) || !patches.insert(&patch.digest) => {
                    Some(format!("the patch of {of} stands in it twice"))
                }
                () if here.contains(&patch.base) || made.contains(&patch.base) => {
                    Some(format!("the patch of {of} builds on what the bundle itself brings"))
                }
                () => None,
            }
        })
    }
}
