//! Whether what documents say of blobs is what the manifest says of them.

use std::collections::BTreeMap;

use super::{ArchiveError, Medium};
use crate::lock::BlobRole;
use crate::manifest::{Blob, Manifest};
use crate::media::{self, Descriptor, Mismatch, Watch};

/// What the manifest says of each blob, to be held against what indexes and image manifests say.
#[derive(Debug)]
pub(super) struct Types<'a> {
    source: &'a Medium,
    /// With the place of its data in the file, where it is carried.
    blobs: BTreeMap<String, (&'a Blob, Option<u64>)>,
}

impl<'a> Types<'a> {
    pub(super) fn of(source: &'a Medium, manifest: &'a Manifest, start: u64) -> Self {
        let place = |blob: &Blob| blob.offset.map(|offset| start + offset);
        let blobs = manifest.blobs.iter().map(|blob| (blob.digest.to_string(), (blob, place(blob)))).collect();
        Self { source, blobs }
    }

    /// As [`Self::check`] for every index and image manifest that is carried.
    pub(super) fn check_documents(&self) -> Result<(), ArchiveError> {
        let is_document = |blob: &Blob| matches!(blob.role, BlobRole::Index | BlobRole::Manifest);
        for (blob, place) in self.blobs.values().filter(|(blob, _)| is_document(blob)) {
            let Some(place) = *place else { continue };
            let mut document = vec![0; usize::try_from(blob.size).unwrap_or(usize::MAX).min(media::MAX_MANIFEST + 1)];
            self.source.read(&mut document, place)?;
            let mut watch = Watch::new(&blob.media_type, blob.role);
            watch.push(&document);
            let judged = self.check(&watch, &blob.media_type);
            judged.map_err(|mismatch| ArchiveError::TypeMismatch { digest: blob.digest.clone(), mismatch })?;
        }
        Ok(())
    }

    /// A scanner reads the image manifest, a runtime the bytes, and a reviewer `manifest.json`: all must see the same.
    pub(super) fn check(&self, watch: &Watch, media_type: &str) -> Result<(), Mismatch> {
        for Descriptor { media_type: said, digest } in watch.descriptors() {
            let Some((blob, place)) = self.blobs.get(&digest) else { continue };
            let is_manifest = matches!(blob.role, BlobRole::Index | BlobRole::Manifest);
            let agrees = match media::agree(&said, &blob.media_type) {
                _ if said.is_empty() => true,
                Some(agrees) => agrees && (!is_manifest || said == blob.media_type),
                None if is_manifest => false,
                None => place.is_none_or(|place| self.begins_as(blob, place, &said)),
            };
            if !agrees {
                let (said, carried) = (said.escape_debug(), blob.media_type.escape_debug());
                let found = format!("says that {digest} is {said}, which is carried as {carried}");
                return Err(Mismatch { media_type: media_type.to_owned(), found });
            }
        }
        Ok(())
    }

    fn begins_as(&self, blob: &Blob, place: u64, media_type: &str) -> bool {
        let length = usize::try_from(blob.size).unwrap_or(usize::MAX).min(media::HEAD_BYTES);
        let mut head = vec![0; length];
        let mut watch = Watch::new(media_type, BlobRole::Layer);
        // What cannot be read is told where the blob itself is read.
        self.source.read(&mut head, place).is_err() || {
            watch.push(&head);
            watch.finish().is_ok()
        }
    }
}
