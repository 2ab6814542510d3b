//! A blob that is open for reading, wherever its bytes stand: in a file of its own, or in a bundle that lends it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::pread;
use sealock_trust::Digest;

use crate::error::{IoContext, StoreError};

/// Where the bytes of a blob stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where they begin in it, in bytes.
    pub(crate) start: u64,
    /// How many they are.
    pub(crate) size: u64,
    /// The digest of the manifest of the bundle that lends them; none where the file is theirs alone.
    pub(crate) lender: Option<Digest>,
}

/// A blob that is open for reading.
///
/// Reading goes by offset (pread(2)), and never beyond the blob, whatever else the file holds.
#[derive(Debug)]
pub struct Blob {
    file: File,
    path: PathBuf,
    start: u64,
    size: u64,
    position: u64,
}

impl Blob {
    /// The blob that is the whole file.
    pub(crate) fn whole(file: File, path: PathBuf, size: u64) -> Self {
        Self { file, path, start: 0, size, position: 0 }
    }

    /// The blob at `place`, in `file`.
    pub(crate) fn part(file: File, place: Place) -> Self {
        Self { file, path: place.path, start: place.start, size: place.size, position: 0 }
    }

    /// Its size, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file that its bytes stand in, for messages: somebody else's bytes may stand there, too.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads from `offset`, in bytes from its beginning, and returns how many bytes were read: none at the end, or where the
    /// file has become shorter.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        self.file.read_at(&mut buffer[..length], self.start.saturating_add(offset))
    }

    /// As [`Blob::read_at`], into the room that `bytes` has left: for those to whom clearing it first is too dear.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn read_onto(&self, bytes: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let (before, left) = (bytes.len(), usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let read = pread(&self.file, spare_capacity(bytes), self.start.saturating_add(offset))?;
        // What stands behind the blob is somebody else's.
        bytes.truncate(before.saturating_add(read.min(left)));
        Ok(bytes.len() - before)
    }

    /// Reads on from the beginning.
    pub fn rewind(&mut self) {
        self.position = 0;
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// The size of the regular file at `path`, or nothing where there is none.
pub(crate) fn size_of_file(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).during("look at", path),
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

/// Opens the regular file at `path`, with its size in bytes; nothing where there is none.
pub(crate) fn open_file(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    let foreign = || StoreError::Foreign { path: path.to_owned() };
    match open_regular(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // What O_NOFOLLOW answers to a symbolic link.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Err(foreign()),
        Err(error) => Err(error).during("open", path),
        Ok((file, metadata)) if metadata.is_file() => Ok(Some((file, metadata.len()))),
        Ok(_) => Err(foreign()),
    }
}

/// The bytes of the regular file at `path`, `limit` at most; nothing where there is none. A store may be a copy that a stranger made: a
/// pipe would never end, and a device neither.
///
/// # Errors
/// [`StoreError::Foreign`] where it is no regular file, or a longer one.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((file, size)) = open_file(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).during("read", path)?;
    if size > limit { Err(StoreError::Foreign { path: path.to_owned() }) } else { Ok(Some(bytes)) }
}

fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_reads_as_the_bytes_that_stand_there(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            offset in 0_u64..400,
            piece in 1_usize..50,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bundle");
            fs::write(&path, &bytes).unwrap();
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let (start, end) = (from.min(to), from.max(to));
            let place = Place { path: path.clone(), start: start as u64, size: (end - start) as u64, lender: None };
            let mut blob = Blob::part(File::open(&path).unwrap(), place);
            for _ in 0..2 {
                let mut read = Vec::new();
                blob.read_to_end(&mut read).unwrap();
                prop_assert_eq!(&read, &bytes[start..end]);
                blob.rewind();
            }
            let mut buffer = vec![0; piece];
            let read = blob.read_at(&mut buffer, offset).unwrap();
            let expected = bytes[start..end].get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            prop_assert_eq!(&buffer[..read], &expected[..piece.min(expected.len())]);
            let mut onto = Vec::with_capacity(piece + 2);
            onto.extend_from_slice(b"ab");
            let read = blob.read_onto(&mut onto, offset).unwrap();
            prop_assert_eq!(read, onto.len() - 2);
            prop_assert!(onto.starts_with(b"ab") && expected.starts_with(&onto[2..]) && (read > 0 || expected.is_empty()));
        }
    }
}
