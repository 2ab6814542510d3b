//! Where the bytes of a bundle are read from: one file, or the volumes that it was cut into.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ArchiveError, IoContext};

/// The bytes of one bundle, in one or several files that are open. Nothing in them is believed.
#[derive(Clone, Debug)]
pub(crate) struct Medium {
    pieces: Vec<Piece>,
    length: u64,
}

/// A part of a bundle in a file of its own.
#[derive(Clone, Debug)]
struct Piece {
    file: Arc<File>,
    path: PathBuf,
    /// Where it begins in the bundle, in bytes.
    start: u64,
    length: u64,
}

impl Medium {
    /// The file `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::join([open_regular(path)?])
    }

    /// `files` in their order, each to its end.
    pub(crate) fn join(files: impl IntoIterator<Item = (File, PathBuf)>) -> Result<Self, ArchiveError> {
        Self::join_shared(files.into_iter().map(|(file, path)| (Arc::new(file), path)))
    }

    /// Files that somebody else has open too, in their order, each to its end.
    pub(crate) fn join_shared(files: impl IntoIterator<Item = (Arc<File>, PathBuf)>) -> Result<Self, ArchiveError> {
        let (mut pieces, mut start) = (Vec::new(), 0);
        for (file, path) in files {
            let length = file.metadata().during("look at", &path)?.len();
            pieces.push(Piece { file, path, start, length });
            start += length;
        }
        Ok(Self { pieces, length: start })
    }

    /// Bytes of the bundle.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The first file: what is named where one has to be.
    pub(crate) fn path(&self) -> &Path {
        self.pieces.first().map_or(Path::new(""), |piece| &piece.path)
    }

    /// The one file, and where it was opened, if it is one.
    pub(crate) fn only_file(&self) -> Option<(Arc<File>, &Path)> {
        match self.pieces.as_slice() {
            [piece] => Some((piece.file.clone(), &piece.path)),
            _ => None,
        }
    }

    /// Fills `buffer` from `position`, across the ends of files.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`] where there is less.
    pub(crate) fn read(&self, mut buffer: &mut [u8], mut position: u64) -> Result<(), ArchiveError> {
        let expected = position + buffer.len() as u64;
        let truncated = || ArchiveError::Truncated { actual: self.length, expected };
        while !buffer.is_empty() {
            let piece = self.piece_at(position).ok_or_else(truncated)?;
            let left = piece.start + piece.length - position;
            let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (now, later) = buffer.split_at_mut(length);
            match piece.file.read_exact_at(now, position - piece.start) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(truncated()),
                result => result.during("read", &piece.path)?,
            }
            position += length as u64;
            buffer = later;
        }
        Ok(())
    }

    /// Reads from the beginning, one byte after the other.
    pub(crate) fn reader(&self) -> impl Read + '_ {
        MediumReader { medium: self, position: 0 }
    }

    fn piece_at(&self, position: u64) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.start <= position);
        // Empty files share their start with the one behind them, which is the last of those that begin there.
        self.pieces[..after].last().filter(|piece| position < piece.start + piece.length)
    }
}

struct MediumReader<'a> {
    medium: &'a Medium,
    position: u64,
}

impl Read for MediumReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.medium.piece_at(self.position) else { return Ok(0) };
        let left = usize::try_from(piece.start + piece.length - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = piece.file.read_at(&mut buffer[..length], self.position - piece.start)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Opens a regular file, and nothing else.
pub(crate) fn open_regular(path: &Path) -> Result<(File, PathBuf), ArchiveError> {
    // Looked at first: opening a pipe would wait for somebody to write to it.
    if !fs::metadata(path).during("look at", path)?.is_file() {
        let problem = format!("{} is no regular file", path.display());
        return Err(ArchiveError::Damaged { offset: 0, problem });
    }
    Ok((File::open(path).during("open", path)?, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_read_as_the_whole_they_were_cut_from(
            bytes in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
            (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).enumerate().map(|(number, cut)| {
                let path = folder.path().join(number.to_string());
                fs::write(&path, &bytes[cut[0]..cut[1]]).unwrap();
                open_regular(&path).unwrap()
            });
            let medium = Medium::join(pieces).unwrap();
            prop_assert_eq!(medium.length(), bytes.len() as u64);
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let range = from.min(to)..from.max(to) + 1;
            let mut read = vec![0; range.len()];
            medium.read(&mut read, range.start as u64).unwrap();
            prop_assert_eq!(&read, &bytes[range]);
            let mut all = Vec::new();
            medium.reader().read_to_end(&mut all).unwrap();
            prop_assert_eq!(&all, &bytes);
            let beyond = medium.read(&mut [0, 0], bytes.len() as u64 - 1);
            let is_truncated = matches!(beyond, Err(ArchiveError::Truncated { .. }));
            prop_assert!(is_truncated);
        }
    }
}
