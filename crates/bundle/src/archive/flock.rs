//! Files that one process at a time writes.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// A file whose lock, where it has one, is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Flock(pub(crate) File);

impl Deref for Flock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Flock {
    /// Closing the file would do, were it not for a process forked at this moment, which has it open until it calls exec.
    fn drop(&mut self) {
        // Not every filesystem of a medium has locks.
        if let Err(error) = self.0.unlock()
            && error.kind() != io::ErrorKind::Unsupported
        {
            tracing::warn!(%error, "a lock was not given back");
        }
    }
}
