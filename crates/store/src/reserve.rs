//! Room that is kept for the day on which the disk is full: to delete garbage takes some lines in files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::StoreError;
use crate::layout::Layout;
use crate::staging::reserve;

/// For the records of some thousand blobs, and the list of the condemned; in bytes.
const ROOM: u64 = 256 * 1024;

/// On a disk that is nearly full, less is better than nothing; in bytes.
const LEAST: u64 = 16 * 1024;

/// Sets the room aside, where it is not yet and the disk has it. Without it everything works but collecting on a full disk.
pub(crate) fn make(layout: &Layout) {
    let path = layout.reserve();
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == ROOM) {
        return;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let set_aside = |room: u64| {
        options.open(&path).and_then(|file| {
            reserve(&file, room)?;
            file.set_len(room)
        })
    };
    let mut rooms = std::iter::successors(Some(ROOM), |room| Some(room / 2)).take_while(|room| *room >= LEAST);
    if !rooms.any(|room| set_aside(room).is_ok()) {
        tracing::info!("no room is set aside for collecting garbage on a full disk");
        // An empty file would help nobody.
        let _ = fs::remove_file(&path);
    }
}

/// Does `work`, and once more in the room that was set aside if the disk is full.
pub(crate) fn with_room<T>(layout: &Layout, work: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match work() {
        Err(StoreError::DiskFull { .. }) if fs::remove_file(layout.reserve()).is_ok() => {
            let result = work();
            // Somebody else may be waiting for every byte.
            make(layout);
            result
        }
        result => result,
    }
}
