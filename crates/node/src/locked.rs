//! Files and folders that one process at a time works with.

use std::fs::{File, TryLockError};
use std::io;

/// An open file or folder that is locked for this process (`flock`), until this is dropped.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Locks `file`; nothing where somebody else has it.
    ///
    /// # Errors
    /// The filesystem refuses. Trying again does not help.
    pub fn take(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Locked {
    /// Closing the file would do, were it not for a process forked at this moment, which has it open until it calls exec.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a lock was not given back");
        }
    }
}
