//! Importing in place: a bundle is judged as ever, and taken into the store as it is. Nothing of it is written a second time.

use sealock_store::lent::Offer;
use sealock_store::{Staging, Store};

use super::error::ImportError;
use crate::archive::{BlobReader, BlobSink, Taken};
use crate::manifest::{Blob, Patch};
use crate::verify::{Checker, VerifiedHeader};

/// Looks whether the bundle can be taken in: one file, whole, on the store's filesystem, that nobody else writes to.
///
/// # Errors
/// [`ImportError::InVolumes`], [`ImportError::DeltaInPlace`]; those of [`Offer::new`].
pub(super) fn offer(header: &VerifiedHeader, store: &Store) -> Result<Offer, ImportError> {
    if header.manifest().base.is_some() {
        return Err(ImportError::DeltaInPlace);
    }
    let (file, path) = header.archive().only_file().ok_or(ImportError::InVolumes)?;
    Ok(Offer::new(store, file, path)?)
}

/// Looks whether the bundle could be imported in place, and changes nothing.
///
/// # Errors
/// As an import that is told so.
pub fn check_in_place(header: &VerifiedHeader, store: &Store) -> Result<(), ImportError> {
    offer(header, store).map(drop)
}

/// Hashes every blob, and has the store lend it.
pub(super) struct Lending {
    staging: Staging,
    /// Bytes of the blobs that the store lacks.
    lent: u64,
}

impl Lending {
    pub(super) fn new(staging: Staging) -> Self {
        Self { staging, lent: 0 }
    }

    pub(super) fn into_parts(self) -> (Staging, u64) {
        (self.staging, self.lent)
    }
}

impl BlobSink for Lending {
    type Error = ImportError;

    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        let taken = Checker.take(blob, data)?;
        if self.staging.is_new(&blob.digest, blob.size)? {
            self.lent += blob.size;
        }
        self.staging.confirm(&blob.digest);
        Ok(taken)
    }

    /// Never: a bundle with patches is a delta, and was refused.
    fn take_patch(&mut self, _: &Blob, _: &Patch, _: &mut BlobReader<'_>) -> Result<Taken, ImportError> {
        Err(ImportError::DeltaInPlace)
    }
}
