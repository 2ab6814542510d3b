//! What a backup does on a disk, with the path in every error.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use super::BackupError;

/// What stands at `path`, a link as itself; nothing where there is nothing.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, BackupError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(BackupError::io("look at", path)),
    }
}

/// Removes the folder and all in it, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(BackupError::io("remove", folder)),
    }
}

/// Makes the entries of the folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io("sync", folder))
}
