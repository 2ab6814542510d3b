//! Who may write pushed content: one process, and none older than the last one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sealock_trust::format;
use sealock_trust::json::Limits;
use sealock_trust::json::jcs;
use serde::{Deserialize, Serialize};

use super::error::PushError;
use crate::durable::replace_file;
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::layout::Layout;
use crate::lock::Flock;
use crate::reserve::with_room;

/// The right to write pushed content.
#[derive(Debug)]
pub(crate) struct PushedLock {
    /// Held for its `flock`.
    _file: Flock,
    /// Higher than that of any writer before.
    pub(crate) epoch: u64,
}

/// What the file `epoch` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    epoch: u64,
    format: String,
}

impl PushedLock {
    /// Takes the lock of pushed content, and raises the epoch there; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it; [`PushError::UnknownFormat`] where a newer one had it.
    pub(crate) fn take(layout: &Layout) -> Result<Self, PushError> {
        let folder = layout.pushed();
        let file = Flock::take(&folder.join("lock"), &folder)?;
        let path = folder.join("epoch");
        let epoch = read_epoch(&path)? + 1;
        let text = jcs::to_vec(&Epoch { epoch, format: format::PUSHED_LOG.current.to_owned() });
        let text = text.map_err(io::Error::other).during("write", &path)?;
        match replace_file(&path, &text, 0o600) {
            // A server must be able to start, or nothing could be deleted. As many bytes as there are, in one sector, are never torn.
            Err(StoreError::DiskFull { .. }) if length_of(&path) == Some(text.len() as u64) => {
                overwrite(&path, &text).during("write", &path)?;
            }
            Err(StoreError::DiskFull { .. }) => with_room(layout, || replace_file(&path, &text, 0o600))?,
            result => result?,
        }
        Ok(Self { _file: file, epoch })
    }

    /// Takes the lock of pushed content for somebody who writes no record: the epoch stays.
    ///
    /// # Errors
    /// As [`PushedLock::take`].
    pub(crate) fn hold(layout: &Layout) -> Result<Self, PushError> {
        let folder = layout.pushed();
        let file = Flock::take(&folder.join("lock"), &folder)?;
        let epoch = read_epoch(&folder.join("epoch"))?;
        Ok(Self { _file: file, epoch })
    }
}

fn length_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    failpoint::hit("overwrite epoch")?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// None yet is 0.
fn read_epoch(path: &PathBuf) -> Result<u64, PushError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result.during("read", path)?,
    };
    let read = format::read(&bytes, &Limits::DOCUMENT, format::PUSHED_LOG, |epoch: &Epoch| &epoch.format);
    let epoch = read.map_err(|error| {
        let foreign = |_| PushError::Store(StoreError::Foreign { path: path.clone() });
        error.either(foreign, |source| PushError::UnknownFormat { path: path.clone(), source })
    })?;
    Ok(epoch.epoch)
}
