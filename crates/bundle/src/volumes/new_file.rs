//! A file that appears under its name only when it is whole and durable.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_store::failpoint;

use super::error::VolumeError;
use crate::archive::{ArchiveError, Flock, IoContext, partial_path, sync_folder_of};

/// A file in the making, at `NAME.partial`. What an earlier run left there is begun anew.
#[derive(Debug)]
pub(super) struct NewFile {
    file: Flock,
    partial: PathBuf,
    path: PathBuf,
    size: u64,
}

impl NewFile {
    /// Begins a file of `size` bytes that is to be called `path`.
    pub(super) fn create(path: &Path, size: u64) -> Result<Self, VolumeError> {
        let partial = partial_path(path);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let opened = failpoint::hit("create").and_then(|()| options.open(&partial));
        let file = Flock(opened.during("create", &partial)?);
        match file.try_lock() {
            // Not every filesystem of a medium has locks.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ArchiveError::Busy { path: partial }.into()),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(source).during("lock", &partial)?,
        }
        file.set_len(0).during("empty", &partial)?;
        Ok(Self { file, partial, path: path.to_owned(), size })
    }

    pub(super) fn write(&self, bytes: &[u8], position: u64) -> Result<(), VolumeError> {
        let written = failpoint::hit("write").and_then(|()| self.file.write_all_at(bytes, position));
        written.map_err(|source| self.write_error(source).into())
    }

    /// Where it is while it is not whole.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Reads what was written before.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> Result<(), VolumeError> {
        Ok(self.file.read_exact_at(buffer, position).during("read", &self.partial)?)
    }

    pub(super) fn sync(&self) -> Result<(), VolumeError> {
        let synced = failpoint::hit("sync").and_then(|()| self.file.sync_all());
        synced.map_err(|source| self.write_error(source).into())
    }

    /// Makes it durable, and lets it appear under its name, whatever was there.
    pub(super) fn publish(self) -> Result<PathBuf, VolumeError> {
        self.sync()?;
        failpoint::hit("rename")
            .and_then(|()| fs::rename(&self.partial, &self.path))
            .during("rename to", &self.path)?;
        failpoint::hit("sync folder").during("sync", &self.path)?;
        sync_folder_of(&self.path)?;
        Ok(self.path)
    }

    /// Leaves nothing of it.
    pub(super) fn discard(self) {
        if let Err(error) = fs::remove_file(&self.partial) {
            tracing::warn!(path = %self.partial.display(), %error, "an unfinished file stays behind");
        }
    }

    fn write_error(&self, source: io::Error) -> ArchiveError {
        let path = self.partial.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ArchiveError::DiskFull { path, needed: self.size, source }
            }
            _ => ArchiveError::Io { action: "write", path, source },
        }
    }
}

/// Bytes that are free in `folder`, and the filesystem that it is on.
pub(super) fn room(folder: &Path) -> Result<(u64, u64), VolumeError> {
    let free = rustix::fs::statvfs(folder).map_err(io::Error::from).during("look at", folder)?;
    let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(folder).during("look at", folder)?);
    Ok((free.f_bavail.saturating_mul(free.f_frsize), device))
}
