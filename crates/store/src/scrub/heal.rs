//! Healing: what had rotted, or was lost, comes back from where it is whole. Only bytes that have the digest do.

use jiff::Timestamp;
use sealock_trust::Digest;

use crate::durable::{remove_if_there, sync_folder};
use crate::error::StoreError;
use crate::lock::StoreLock;
use crate::operations::Operation;
use crate::staging::Staging;

impl StoreLock {
    /// A staging folder for the blobs that are to be put back.
    ///
    /// # Errors
    /// As [`StoreLock::staging`].
    pub fn healing(&self) -> Result<Staging, StoreError> {
        // No manifest has this digest: what an import has staged is left alone.
        self.staging(&Digest::sha256(b"sealock heals"))
    }

    /// Puts the finished blobs of `staging` back into the store, each of which stands in the log, and removes their rotten
    /// copies from quarantine. Returns them, sorted. Cut off anywhere, the same once more finishes it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn heal(&self, staging: Staging, at: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let healed: Vec<Digest> = staging.finished().cloned().collect();
        if healed.is_empty() {
            staging.discard()?;
            return Ok(healed);
        }
        for digest in &healed {
            self.record(at, Operation::Heal { blob: digest.clone() })?;
        }
        staging.promote(true)?;
        for digest in &healed {
            remove_if_there(&self.layout().quarantined(digest))?;
        }
        if self.layout().quarantine().exists() {
            sync_folder(&self.layout().quarantine())?;
        }
        Ok(healed)
    }
}
