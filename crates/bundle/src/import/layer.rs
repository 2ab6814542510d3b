//! Layers that are made of a base and a patch: where the base is found, and what it means when none comes out.

use std::io::Read;

use sealock_store::{Blob as Stored, Store, StoreError};
use sealock_trust::{Digest, Hasher};

use super::error::ImportError;
use crate::manifest::{Blob, Patch};
use crate::patch::PatchError;

/// The base of a patch, out of the store and nowhere else: nothing that this import brings is a base.
pub(crate) fn open_base(store: &Store, blob: &Blob, patch: &Patch) -> Result<Stored, ImportError> {
    let base = store.open_blob(&patch.base)?.filter(|base| base.size() == patch.base_size);
    base.ok_or_else(|| damaged(blob, patch))
}

/// What it means that a patch did not work out: a base that has rotted is the site's to replace; else the patch lies.
pub(crate) fn explain(store: &Store, blob: &Blob, patch: &Patch, error: PatchError) -> ImportError {
    if error.is_environment() {
        return ImportError::Patch { blob: blob.digest.clone(), source: error };
    }
    match digest_of(store, &patch.base) {
        Ok(Some(actual)) if actual == patch.base => ImportError::Patch { blob: blob.digest.clone(), source: error },
        Ok(_) => damaged(blob, patch),
        Err(error) => error.into(),
    }
}

fn damaged(blob: &Blob, patch: &Patch) -> ImportError {
    ImportError::BaseDamaged { blob: blob.digest.clone(), base: patch.base.clone() }
}

fn digest_of(store: &Store, digest: &Digest) -> Result<Option<Digest>, StoreError> {
    let Some(mut blob) = store.open_blob(digest)? else { return Ok(None) };
    let (mut hasher, mut buffer) = (Hasher::new(digest.algorithm()), vec![0; 256 << 10]);
    loop {
        match blob.read(&mut buffer) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Io { action: "read", path: blob.path().to_owned(), source }),
        }
    }
}

/// What the writer of a blob had against the bytes that it was given: the store's trouble, or the patch's.
pub(super) fn of_store(blob: &Blob, error: PatchError) -> Result<PatchError, StoreError> {
    let PatchError::Write(error) = error else { return Ok(error) };
    match error.downcast::<StoreError>() {
        Ok(error) => mismatch(blob, error),
        Err(error) => Ok(PatchError::Write(error)),
    }
}

/// Another size or digest than the blob has is the patch's doing.
pub(super) fn mismatch(blob: &Blob, error: StoreError) -> Result<PatchError, StoreError> {
    let other = |actual| Ok(PatchError::Other { expected: blob.digest.clone(), actual });
    match error {
        StoreError::WrongSize { actual, expected, .. } if actual > expected => {
            other(format!("more than {expected} bytes"))
        }
        StoreError::WrongSize { actual, .. } => other(format!("{actual} bytes")),
        StoreError::WrongDigest { actual, .. } => other(actual.to_string()),
        error => Err(error),
    }
}
