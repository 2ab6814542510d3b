//! The bytes of one blob or patch, wherever they stand.

use std::io::{self, Read};

use sealock_trust::{Digest, Hasher};

use super::{Archive, ArchiveError, Medium};

/// The bytes of something that an archive carries. Reading them says nothing about their digest.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    medium: Medium,
    position: u64,
    end: u64,
}

impl Archive {
    /// The `size` bytes that stand at `offset` behind the header.
    pub(crate) fn data(&self, offset: u64, size: u64) -> Data {
        let position = self.header_size().saturating_add(offset);
        Data { medium: self.medium.clone(), position, end: position.saturating_add(size) }
    }
}

impl Data {
    /// Checks that they have the digest.
    ///
    /// # Errors
    /// [`ArchiveError::WrongDigest`].
    pub(crate) fn check(&self, expected: &Digest) -> Result<(), ArchiveError> {
        let (mut data, mut hasher, mut buffer) = (self.clone(), Hasher::new(expected.algorithm()), vec![0; 1 << 20]);
        while data.position < data.end {
            hasher.update(data.piece(&mut buffer)?);
        }
        let actual = hasher.finish();
        if actual == *expected {
            return Ok(());
        }
        Err(ArchiveError::WrongDigest { expected: expected.clone(), actual })
    }

    fn piece<'a>(&mut self, buffer: &'a mut [u8]) -> Result<&'a [u8], ArchiveError> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let piece = &mut buffer[..length];
        self.medium.read(piece, self.position)?;
        self.position += piece.len() as u64;
        Ok(piece)
    }
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.piece(buffer).map_err(io::Error::other)?.len())
    }
}
