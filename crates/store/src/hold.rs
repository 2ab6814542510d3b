//! Holds: what an import needs, and the garbage collector must leave alone.
//!
//! `holds/<manifest-digest>` is a text file with one digest per line.

use std::collections::BTreeSet;
use std::fs;

use sealock_trust::Digest;

use crate::durable::{TEMPORARY, remove_if_there, replace_file};
use crate::error::{IoContext, StoreError};
use crate::layout::Layout;
use crate::store::Store;

pub(crate) fn take(layout: &Layout, manifest: &Digest, blobs: &[Digest]) -> Result<(), StoreError> {
    let lines: String = blobs.iter().map(|digest| format!("{digest}\n")).collect();
    replace_file(&layout.hold(manifest), lines.as_bytes(), 0o600)
}

pub(crate) fn drop(layout: &Layout, manifest: &Digest) -> Result<(), StoreError> {
    remove_if_there(&layout.hold(manifest))
}

impl Store {
    /// Every blob that some hold keeps.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Foreign`] where a hold is not a list of digests.
    pub fn held_blobs(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let folder = self.layout.holds();
        let mut held = BTreeSet::new();
        for entry in fs::read_dir(&folder).during("read", &folder)? {
            let path = entry.during("read", &folder)?.path();
            if path.to_string_lossy().ends_with(TEMPORARY) {
                continue;
            }
            let text = fs::read_to_string(&path).during("read", &path)?;
            for line in text.lines() {
                held.insert(line.parse().map_err(|_| StoreError::Foreign { path: path.clone() })?);
            }
        }
        Ok(held)
    }
}
