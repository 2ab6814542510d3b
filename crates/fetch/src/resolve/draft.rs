//! The lock as it grows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sealock_bundle::ArtifactName;
use sealock_bundle::lock::{LockedBlob, LockedReference};
use sealock_trust::Digest;

use crate::error::FetchError;

/// References, blobs and notes so far. Whoever adds a blob first determines where it is fetched, so additions come in a fixed order.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    references: BTreeMap<ArtifactName, LockedReference>,
    blobs: BTreeMap<Digest, LockedBlob>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Draft {
    /// Adds a reference; the same name again must stand for the same digest.
    pub(crate) fn reference(&mut self, reference: LockedReference) -> Result<(), FetchError> {
        match self.references.entry(reference.name.clone()) {
            Entry::Vacant(free) => {
                free.insert(reference);
            }
            Entry::Occupied(mut there) if there.get().digest == reference.digest => {
                there.get_mut().requested_by.extend(reference.requested_by);
            }
            Entry::Occupied(there) => {
                return Err(FetchError::TwoDigests {
                    name: reference.name,
                    first: there.get().digest.clone(),
                    second: reference.digest,
                });
            }
        }
        Ok(())
    }

    /// Adds blobs; those that are there already stay.
    pub(crate) fn blobs(&mut self, blobs: impl IntoIterator<Item = LockedBlob>) {
        for blob in blobs {
            self.blobs.entry(blob.digest.clone()).or_insert(blob);
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<LockedReference>, Vec<LockedBlob>, BTreeMap<String, String>) {
        (self.references.into_values().collect(), self.blobs.into_values().collect(), self.annotations)
    }
}
