//! The lock of the writers, and what only its holder may do.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use sealock_trust::Digest;

use crate::error::{IoContext, StoreError};
use crate::layout::Layout;
use crate::staging::Staging;
use crate::store::Store;
use crate::{hold, operations, recovery};

/// The right to write to a store; held by one process at a time.
#[derive(Debug)]
pub struct StoreLock {
    pub(crate) store: Store,
    /// Held for its `flock`.
    _file: Flock,
}

/// A file that is locked for one process, which leaves its number in it.
#[derive(Debug)]
pub(crate) struct Flock(File);

impl Flock {
    /// Locks the file at `path`, or says that `folder` is in use.
    pub(crate) fn take(path: &Path, folder: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        // Whoever can open the file can lock it, and keep every writer waiting.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).during("open", path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked { path: folder.to_owned(), holder: read_holder(&mut file) });
            }
            result => result.during("lock", path)?,
        }
        leave_holder(&mut file).during("write", path)?;
        Ok(Self(file))
    }
}

impl StoreLock {
    pub(crate) fn take(store: &Store) -> Result<Self, StoreError> {
        let file = Flock::take(&store.layout.lock(), store.path())?;
        let lock = Self { store: store.clone(), _file: file };
        recovery::run(&lock)?;
        Ok(lock)
    }

    /// The store that is locked.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The staging folder of the bundle with this manifest: a fresh one, or the one that an interrupted import left.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Foreign`].
    pub fn staging(&self, manifest: &Digest) -> Result<Staging, StoreError> {
        Staging::open(&self.store, manifest)
    }

    /// Keeps `blobs` from the garbage collector until [`StoreLock::release_hold`], or the publishing of the bundle with
    /// this manifest. Taken before one relies on a blob being there.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::DiskFull`].
    pub fn hold(&self, manifest: &Digest, blobs: &[Digest]) -> Result<(), StoreError> {
        hold::take(self.layout(), manifest, blobs)
    }

    /// Drops the hold of the bundle with this manifest, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn release_hold(&self, manifest: &Digest) -> Result<(), StoreError> {
        hold::drop(self.layout(), manifest)
    }

    /// Appends a record about something beside the releases to the operation log; durable when it returns. The time is
    /// the caller's.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::DiskFull`].
    pub fn log(&self, at: jiff::Timestamp, operation: operations::Operation) -> Result<(), StoreError> {
        self.record(at, operation)
    }

    /// Appends to the operation log; durable when it returns.
    pub(crate) fn record(&self, at: jiff::Timestamp, operation: operations::Operation) -> Result<(), StoreError> {
        operations::append(&self.layout().operations(), at, operation)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.store.layout
    }
}

impl Drop for Flock {
    /// Closing the file would do, were it not for a process forked at this moment, which has it open until it calls exec.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "a lock was not given back");
        }
    }
}

fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// For the message that the next one gets; the lock itself is the kernel's.
fn leave_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
