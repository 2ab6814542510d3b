//! Reads a blob past the page cache: what counts is what the disk has, and pulls keep what they have cached.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, Mode, OFlags, fadvise};

use crate::blob::Place;
use crate::failpoint;

/// Bytes that are read at once; a multiple of every alignment that disks ask for.
const CHUNK: usize = 1 << 20;

/// What buffers, offsets and lengths have to be a multiple of.
const ALIGNMENT: usize = 4096;

/// A blob that is read from its start to its end.
pub(super) struct Reader {
    file: File,
    is_direct: bool,
    buffer: Vec<u8>,
    /// Where the aligned part of the buffer begins.
    start: usize,
    /// Where the next piece begins in the file: aligned, unless the end of the file is near.
    position: u64,
    /// Where the blob begins in the file.
    begin: u64,
    /// Where it ends; at the end of the file where there is nothing.
    end: Option<u64>,
}

impl Reader {
    /// Opens the regular file of `place`, and no link. A file of the blob alone is read to its end, whatever size it had.
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = |flags| rustix::fs::open(&place.path, flags, Mode::empty()).map(File::from);
        let (file, is_direct) = match open(flags | OFlags::DIRECT) {
            // Not every filesystem can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => (open(flags)?, false),
            result => (result?, true),
        };
        let buffer = vec![0; CHUNK + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let position = place.start - place.start % ALIGNMENT as u64;
        let end = place.lender.is_some().then(|| place.start.saturating_add(place.size));
        let reader = Self { file, is_direct, buffer, start, position, begin: place.start, end };
        if !reader.is_direct {
            reader.forget()?;
        }
        Ok(reader)
    }

    /// The next piece; an empty one at the end.
    pub(super) fn next_piece(&mut self) -> io::Result<&[u8]> {
        failpoint::hit("read blob")?;
        if self.end.is_some_and(|end| self.position >= end) {
            return Ok(&[]);
        }
        let piece = &mut self.buffer[self.start..self.start + CHUNK];
        let length = match self.file.read_at(piece, self.position) {
            // At an offset that is not aligned there is nothing but the end.
            Err(error) if self.is_direct && is_invalid(&error) => {
                self.is_direct = false;
                self.forget()?;
                let piece = &mut self.buffer[self.start..self.start + CHUNK];
                self.file.read_at(piece, self.position)?
            }
            result => result?,
        };
        if !self.is_direct {
            self.forget()?;
        }
        let before = self.position;
        self.position += length as u64;
        // What stands in front of the blob, or behind it, is somebody else's.
        let within = |at: u64| usize::try_from(at.saturating_sub(before)).unwrap_or(length).min(length);
        let (from, to) = (within(self.begin), self.end.map_or(length, within));
        Ok(&self.buffer[self.start + from..self.start + to.max(from)])
    }

    /// Drops from the page cache what it has of the blob.
    fn forget(&self) -> io::Result<()> {
        // To the end of the file where there is no other one.
        let length = self.end.map_or(0, |end| end - self.begin);
        Ok(fadvise(&self.file, self.begin, NonZeroU64::new(length), Advice::DontNeed)?)
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(place: &Place) -> Vec<u8> {
        let mut reader = Reader::open(place).unwrap();
        let mut read = Vec::new();
        loop {
            let piece = reader.next_piece().unwrap();
            if piece.is_empty() {
                return read;
            }
            read.extend_from_slice(piece);
        }
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5000] {
            let path = folder.path().join(length.to_string());
            std::fs::write(&path, content(length)).unwrap();
            // Whatever size it had at the first look.
            let place = Place { path, start: 0, size: 7, lender: None };
            assert!(all_of(&place) == content(length), "{length} bytes");
        }
    }

    #[test]
    fn of_a_bundle_the_blob_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle");
        let bytes = content(3 * CHUNK + 5000);
        std::fs::write(&path, &bytes).unwrap();
        let lender = Some(sealock_trust::Digest::sha256(b"manifest"));
        for (start, size) in [
            (0, 0),
            (0, 1),
            (512, 0),
            (512, 700),
            (4096, CHUNK),
            (4095, CHUNK + 1),
            (CHUNK - 1, 2),
            (CHUNK + 512, 2 * CHUNK),
            (3 * CHUNK, 5000),
            (3 * CHUNK + 4999, 1),
        ] {
            let place = Place { path: path.clone(), start: start as u64, size: size as u64, lender: lender.clone() };
            assert!(all_of(&place) == bytes[start..start + size], "{size} bytes at {start}");
        }
        let beyond = Place { path, start: 3 * CHUNK as u64, size: 6000, lender };
        assert_eq!(all_of(&beyond).len(), 5000, "a file that has become shorter");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(Reader::open(&Place { path, start: 0, size: 1, lender: None }).is_err());
    }
}
