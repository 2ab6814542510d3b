//! Reads what stands on the disk about pushed content, without opening it for writing.

use super::error::PushError;
use super::log::{Replay, replay};
use super::record::Record;
use super::{Snapshot, open};
use crate::durable::remove_if_there;
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// Gives every record about pushed content to `each`, oldest first; an incomplete last line is passed over.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`].
    pub fn pushed_records(&self, mut each: impl FnMut(Record)) -> Result<u64, StoreError> {
        let folder = self.layout.pushed().join("log");
        if !folder.exists() {
            return Ok(0);
        }
        let mut give = |record, _: &_| {
            each(record);
            Ok::<_, StoreError>(())
        };
        match replay(&folder, None, &mut give)? {
            Replay::Done(Some(last)) => Ok(last.number),
            Replay::Done(None) | Replay::Elsewhere => Ok(0),
        }
    }

    /// What the log of pushed content leads to, whatever the index says.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`].
    pub fn pushed_content(&self) -> Result<Snapshot, StoreError> {
        let folder = self.layout.pushed().join("log");
        if !folder.exists() {
            return Ok(Snapshot::default());
        }
        let (rows, _) = open::read_all(&folder)?;
        Ok(open::snapshot(self, rows))
    }

    /// Removes the index of pushed content, so that the next start makes it anew from the log. Nobody may have it open.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where a server runs.
    pub fn forget_pushed_index(&self) -> Result<(), PushError> {
        let folder = self.layout.pushed();
        if !folder.exists() {
            return Ok(());
        }
        let _lock = super::lock::PushedLock::take(&self.layout)?;
        Ok(remove_if_there(&folder.join("index.redb"))?)
    }
}
