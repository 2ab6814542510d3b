//! Heals a store from a bundle that is still at hand: what has rotted, or was lost, is read from it again.
//!
//! Whoever signed the bundle, and when, makes no difference here, and neither does its age: the blobs are wanted by their
//! digests, which stand in releases that the site has signed, and nothing else is taken.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealock_store::{Staging, StoreError, StoreLock};
use sealock_trust::Digest;

use crate::archive::{Archive, BlobReader, BlobSink, Taken};
use crate::import::ImportError;
use crate::manifest::{Blob, Patch};

/// What came of it.
#[derive(Debug)]
pub struct Healed {
    /// What is back in the store, sorted.
    pub blobs: Vec<Digest>,
    /// What is wrong with the bundle itself; behind the damage it was not read.
    pub damage: Option<ImportError>,
}

/// Reads of `archive` the blobs in `wanted`, and puts those back into the store that have their digests. `done` hears how many
/// bytes of the payload are behind.
///
/// # Errors
/// The archive is none, or the store failed.
pub fn heal(
    archive: &Archive,
    lock: &StoreLock,
    wanted: &BTreeSet<Digest>,
    at: Timestamp,
    done: &mut dyn FnMut(u64),
) -> Result<Healed, ImportError> {
    let manifest = archive.unverified_manifest()?;
    archive.check_frame(&manifest)?;
    let mut healer = Healer { staging: lock.healing()?, wanted };
    if wanted.contains(&archive.manifest_digest()) {
        healer.keep_manifest(archive)?;
    }
    let damage = match archive.stream(&manifest, &mut healer, done) {
        Err(ImportError::Store(error)) => return Err(error.into()),
        result => result.err(),
    };
    Ok(Healed { blobs: lock.heal(healer.staging, at)?, damage })
}

struct Healer<'a> {
    staging: Staging,
    wanted: &'a BTreeSet<Digest>,
}

impl Healer<'_> {
    fn keep_manifest(&mut self, archive: &Archive) -> Result<(), StoreError> {
        let bytes = archive.manifest_bytes();
        let mut writer = self.staging.write_blob(&archive.manifest_digest(), bytes.len() as u64)?;
        writer.push(bytes)?;
        writer.finish()
    }
}

impl BlobSink for Healer<'_> {
    type Error = ImportError;

    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        if !self.wanted.contains(&blob.digest) {
            return Ok(Taken::Skipped);
        }
        let mut writer = self.staging.write_blob(&blob.digest, blob.size)?;
        while let Some(piece) = data.next_piece()? {
            writer.push(piece)?;
        }
        match writer.finish() {
            // The bundle's copy is damaged too: others of it may be whole.
            Err(StoreError::WrongDigest { expected, actual }) => {
                tracing::warn!(%expected, %actual, "the bundle's copy of a blob is damaged, too");
                Ok(Taken::Skipped)
            }
            result => Ok(result.map(|()| Taken::Whole)?),
        }
    }

    /// What a patch makes needs a base that is whole: a bundle that carries the layer itself heals it.
    fn take_patch(&mut self, _: &Blob, _: &Patch, _: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        Ok(Taken::Skipped)
    }
}
