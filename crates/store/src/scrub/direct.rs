//! Reads a file past the page cache: what counts is what the disk has, and pulls keep what they have cached.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags, fadvise};

use crate::failpoint;

/// Bytes that are read at once; a multiple of every alignment that disks ask for.
const CHUNK: usize = 1 << 20;

/// What buffers, offsets and lengths have to be a multiple of.
const ALIGNMENT: usize = 4096;

/// A file that is read from its start to its end.
pub(super) struct Reader {
    file: File,
    is_direct: bool,
    buffer: Vec<u8>,
    /// Where the aligned part of the buffer begins.
    start: usize,
    position: u64,
}

impl Reader {
    /// Opens the regular file at `path`, and no link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = |flags| rustix::fs::open(path, flags, Mode::empty()).map(File::from);
        let (file, is_direct) = match open(flags | OFlags::DIRECT) {
            // Not every filesystem can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => (open(flags)?, false),
            result => (result?, true),
        };
        let buffer = vec![0; CHUNK + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let reader = Self { file, is_direct, buffer, start, position: 0 };
        if !reader.is_direct {
            reader.forget()?;
        }
        Ok(reader)
    }

    /// The next piece; an empty one at the end.
    pub(super) fn next_piece(&mut self) -> io::Result<&[u8]> {
        failpoint::hit("read blob")?;
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
        self.position += length as u64;
        if !self.is_direct {
            self.forget()?;
        }
        Ok(&self.buffer[self.start..self.start + length])
    }

    /// Drops from the page cache what it has of the file.
    fn forget(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5000] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let path = folder.path().join(length.to_string());
            std::fs::write(&path, &content).unwrap();
            let mut reader = Reader::open(&path).unwrap();
            let mut read = Vec::new();
            loop {
                let piece = reader.next_piece().unwrap();
                if piece.is_empty() {
                    break;
                }
                read.extend_from_slice(piece);
            }
            assert!(read == content, "{length} bytes");
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        assert!(Reader::open(&folder.path().join("link")).is_err());
    }
}
