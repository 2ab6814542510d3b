//! Writes one blob into staging, hashed as it is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sealock_trust::{Digest, Hasher};

use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::staging::{Staging, reserve};

/// A blob on its way into staging. Dropping it unfinished removes it.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    staging: &'a mut Staging,
    /// Both are gone once the blob is finished.
    unfinished: Option<(File, PathBuf)>,
    hasher: Hasher,
    digest: Digest,
    size: u64,
    written: u64,
}

impl<'a> BlobWriter<'a> {
    pub(crate) fn new(staging: &'a mut Staging, file: File, path: PathBuf, digest: Digest, size: u64) -> Self {
        let hasher = Hasher::new(digest.algorithm());
        Self { staging, unfinished: Some((file, path)), hasher, digest, size, written: 0 }
    }

    pub(crate) fn reserve(&self) -> Result<(), StoreError> {
        let Some((file, path)) = &self.unfinished else { return Ok(()) };
        failpoint::hit("reserve").and_then(|()| reserve(file, self.size)).during("reserve room for", path)
    }

    /// The bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes all of `bytes`, which come next.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`] where they are more than was promised, [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = self.written.saturating_add(bytes.len() as u64);
        if length > self.size {
            return Err(self.wrong_size(length));
        }
        let Some((file, path)) = &mut self.unfinished else { return Ok(()) };
        failpoint::hit("write blob").and_then(|()| file.write_all(bytes)).during("write", path)?;
        self.hasher.update(bytes);
        self.written = length;
        Ok(())
    }

    /// Checks size and digest, and keeps the blob in staging.
    ///
    /// # Errors
    /// [`StoreError::WrongSize`], [`StoreError::WrongDigest`]: the blob is gone; [`StoreError::Io`].
    pub fn finish(mut self) -> Result<(), StoreError> {
        if self.written != self.size {
            return Err(self.wrong_size(self.written));
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            return Err(StoreError::WrongDigest { expected: self.digest.clone(), actual });
        }
        let Some((file, path)) = self.unfinished.take() else { return Ok(()) };
        self.staging.keep(&self.digest, file, &path).inspect_err(|_| remove_quietly(&path))
    }

    fn wrong_size(&self, actual: u64) -> StoreError {
        StoreError::WrongSize { digest: self.digest.clone(), expected: self.size, actual }
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        if let Some((_, path)) = self.unfinished.take() {
            remove_quietly(&path);
        }
    }
}

/// A file that stays behind is removed when its staging folder is opened again.
fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an unfinished blob stays behind");
    }
}
