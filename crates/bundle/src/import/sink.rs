//! Puts the blobs of a bundle into staging.

use std::io::{self, Write};

use sealock_store::{Blob as Stored, Staging, Store, StoreError};
use sealock_trust::Digest;

use super::error::ImportError;
use super::layer;
use crate::archive::{ArchiveError, BlobReader, BlobSink, Taken};
use crate::delta::check_stored;
use crate::manifest::{Blob, Carried, Patch};
use crate::media::Watch;
use crate::patch::{self, PatchError};
use crate::verify::{Checker, VerifyError};

/// Works a patch out once more, of two blobs that were read.
fn prove_again(blob: &Blob, mut base: Stored, mut content: Stored) -> Result<(), Result<PatchError, ImportError>> {
    base.rewind();
    content.rewind();
    patch::prove(base, content, &blob.digest, blob.size).map_err(Ok)
}

/// A blob as it is made: written, and held to its media type.
struct Watched<W> {
    writer: W,
    watch: Watch,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.watch.push(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Staging as a sink.
pub(super) struct Staged<'a> {
    store: &'a Store,
    staging: Staging,
    /// Whether an import that was cut off has left blobs behind.
    resumed: bool,
    written: u64,
}

impl<'a> Staged<'a> {
    pub(super) fn new(store: &'a Store, staging: Staging) -> Self {
        Self { store, staging, resumed: false, written: 0 }
    }

    /// Bytes of blobs written by this import.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether an import that was cut off has left blobs behind; known after [`Staged::check_room`].
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn into_staging(self) -> Staging {
        self.staging
    }

    /// Says that the disk is too small before anything is written to it.
    pub(super) fn check_room<'b>(&mut self, entries: impl Iterator<Item = Carried<'b>>) -> Result<(), ImportError> {
        let mut needed = 0_u64;
        for entry in entries {
            let (blob, patch) = match entry {
                Carried::Whole(blob) => (blob, 0),
                // It is there for as long as the blob is made of it.
                Carried::Patch(blob, patch) => (blob, patch.size),
            };
            if !self.staging.holds(&blob.digest, blob.size)? {
                needed = needed.saturating_add(blob.size).saturating_add(patch);
            } else if !self.is_in_store(blob)? {
                self.resumed = true;
            }
        }
        let free = self.store.free_bytes()?;
        if needed > free {
            return Err(ImportError::NoRoom { path: self.store.path().to_owned(), needed, free });
        }
        Ok(())
    }

    /// Keeps `manifest.json` beside the blobs that it lists.
    pub(super) fn keep_manifest(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), ImportError> {
        let size = bytes.len() as u64;
        if self.staging.holds(digest, size)? {
            return Ok(());
        }
        let mut writer = self.staging.write_blob(digest, size)?;
        writer.push(bytes)?;
        Ok(writer.finish()?)
    }

    /// Brings a patch into staging, until its blob is made.
    fn keep_patch(&mut self, patch: &Patch, data: &mut BlobReader<'_>) -> Result<Stored, ImportError> {
        let mut writer = self.staging.write_blob(&patch.digest, patch.size)?;
        while let Some(piece) = data.next_piece()? {
            writer.push(piece)?;
        }
        writer.finish()?;
        let kept = self.staging.open_blob(&patch.digest)?;
        kept.ok_or_else(|| ImportError::Store(StoreError::Foreign { path: self.staging.blob_path(&patch.digest) }))
    }

    /// Makes the blob of its base and the patch. One that the store has is made all the same, and not kept: who knows the
    /// blob's name only has not brought it.
    fn make(&mut self, blob: &Blob, patch: &Patch, content: Stored) -> Result<(), ImportError> {
        let base = layer::open_base(self.store, blob, patch)?;
        let made = if self.is_in_store(blob)? {
            check_stored(self.store, blob).map_err(|error| ImportError::Base(Box::new(error)))?;
            patch::prove(base, content, &blob.digest, blob.size).map_err(Ok)
        } else {
            self.write(blob, base, content)
        };
        made.map_err(|error| match error {
            Ok(error) => layer::explain(self.store, blob, patch, error),
            Err(error) => error,
        })
    }

    fn write(
        &mut self,
        blob: &Blob,
        mut base: Stored,
        mut content: Stored,
    ) -> Result<(), Result<PatchError, ImportError>> {
        let of_store = |error: Result<PatchError, StoreError>| error.map_err(ImportError::from);
        let writer = self.staging.write_blob(&blob.digest, blob.size).map_err(|error| Err(error.into()))?;
        let mut watched = Watched { writer, watch: Watch::new(&blob.media_type, blob.role) };
        patch::apply(&mut base, &mut content, &mut watched).map_err(|error| of_store(layer::of_store(blob, error)))?;
        let Watched { writer, watch } = watched;
        if let Err(mismatch) = watch.finish() {
            // Nothing is kept. A wrong digest is the graver word, and is looked for only here.
            drop(writer);
            prove_again(blob, base, content)?;
            let error = ArchiveError::TypeMismatch { digest: blob.digest.clone(), mismatch };
            return Err(Err(VerifyError::from(error).into()));
        }
        writer.finish().map_err(|error| of_store(layer::mismatch(blob, error)))?;
        self.written += blob.size;
        Ok(())
    }

    /// A copy in the store that has another size is damaged, and this import replaces it.
    fn is_in_store(&self, blob: &Blob) -> Result<bool, ImportError> {
        Ok(self.store.blob_size(&blob.digest)? == Some(blob.size))
    }
}

impl BlobSink for Staged<'_> {
    type Error = ImportError;

    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        if self.is_in_store(blob)? {
            // The store's own copy is kept; this one is judged all the same, so that a damaged bundle is refused.
            return Ok(Checker.take(blob, data)?);
        }
        if self.staging.holds(&blob.digest, blob.size)? {
            return Ok(Taken::Skipped);
        }
        let mut writer = self.staging.write_blob(&blob.digest, blob.size)?;
        while let Some(piece) = data.next_piece()? {
            writer.push(piece)?;
        }
        writer.finish()?;
        self.written += blob.size;
        Ok(Taken::Whole)
    }

    fn take_patch(&mut self, blob: &Blob, patch: &Patch, data: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        if !self.is_in_store(blob)? && self.staging.holds(&blob.digest, blob.size)? {
            return Ok(Taken::Skipped);
        }
        let content = self.keep_patch(patch, data)?;
        self.make(blob, patch, content)?;
        self.staging.forget(&patch.digest)?;
        Ok(Taken::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::BlobRole;

    #[test]
    fn a_bundle_beyond_the_disk_is_known_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::init(folder.path()).unwrap();
        let lock = store.lock().unwrap();
        let mut staged = Staged::new(&store, lock.staging(&Digest::sha256(b"manifest")).unwrap());
        let blob = |size| Blob {
            digest: Digest::sha256(b"blob"),
            size,
            offset: Some(0),
            media_type: String::new(),
            role: BlobRole::Layer,
            patch: None,
        };
        staged.check_room([Carried::Whole(&blob(1))].into_iter()).unwrap();
        let beyond = store.free_bytes().unwrap() + (1 << 40);
        let error = staged.check_room([Carried::Whole(&blob(beyond))].into_iter()).unwrap_err();
        assert!(matches!(error, ImportError::NoRoom { needed, .. } if needed == beyond), "{error}");
        assert!(error.is_environment() && !error.is_refusal() && !staged.is_resumed());
    }
}
