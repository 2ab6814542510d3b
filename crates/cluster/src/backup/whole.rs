//! A file that is opened once: what is judged, and what its digest is of, is the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sealock_trust::{Algorithm, Digest, Hasher};

use super::interrupt::Watched;
use super::{BackupError, Interrupt};

/// A regular file, read from its beginning.
pub(super) struct Whole {
    path: PathBuf,
    file: Watched<File>,
    hasher: Option<Hasher>,
}

impl Whole {
    /// The file at `path`. A pipe is not waited for.
    ///
    /// # Errors
    /// It cannot be opened, or is something else.
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let failed = |error| BackupError::io("read", path)(error);
        let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(without_waiting).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        Ok(Self { path: path.to_owned(), file: Watched { inner: file, interrupt: None }, hasher: None })
    }

    /// The same, until `interrupt`; every byte that is read counts into [`Whole::digest`].
    ///
    /// # Errors
    /// As [`Whole::open`].
    pub(super) fn hashed(path: &Path, interrupt: &Interrupt) -> Result<Self, BackupError> {
        let mut whole = Self::open(path)?;
        whole.file.interrupt = Some(interrupt.clone());
        whole.hasher = Some(Hasher::new(Algorithm::Sha256));
        Ok(whole)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was opened.
    pub(super) fn file(&self) -> &File {
        &self.file.inner
    }

    pub(super) fn interrupt(&self) -> Option<&Interrupt> {
        self.file.interrupt.as_ref()
    }

    /// The SHA-256 of all that was read, and of what is left. Nothing may have read in the file besides.
    ///
    /// # Errors
    /// The rest cannot be read, or is larger than `limit` bytes; or nothing was to be hashed.
    pub(super) fn digest(mut self, limit: u64) -> Result<Digest, BackupError> {
        let failed = BackupError::io("read", self.path.clone());
        let left = io::copy(&mut (&mut self).take(limit + 1), &mut io::sink()).map_err(failed)?;
        if left > limit {
            return Err(BackupError::Limit { what: self.path.display().to_string(), limit });
        }
        let unhashed = || BackupError::io("hash", self.path.clone())(io::ErrorKind::Unsupported.into());
        self.hasher.map(Hasher::finish).ok_or_else(unhashed)
    }
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..length]);
        }
        Ok(length)
    }
}
