//! Writes past the page cache: the bytes of a large upload are not copied once more, and do not drive out of memory what nodes pull.
//!
//! Only whole blocks go this way (`O_DIRECT`, open(2)), a mebibyte at a time, since each write waits for the disk. What is behind the last
//! whole block is written as usual, and so is everything where a filesystem does not take such writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::OFlags;

/// What offsets, lengths and memory are multiples of, in bytes: no disk and no filesystem in use asks for more.
const BLOCK: usize = 4096;

/// What is written at once, in bytes.
const AT_ONCE: usize = 1 << 20;

/// How many uploads have such a buffer at a time. Others are written as usual.
const LANES: usize = 16;

/// How many bytes `offset` lacks to be a multiple of a block.
pub(super) fn up_to_a_block(offset: u64) -> usize {
    let beyond = (offset % BLOCK as u64) as usize;
    (BLOCK - beyond) % BLOCK
}

/// How many uploads are written past the page cache at this moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Arc<AtomicUsize>);

impl Lanes {
    fn take(&self) -> Option<Lane> {
        let more = |taken: usize| (taken < LANES).then_some(taken + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Lane(self.clone()))
    }
}

/// One of them; given back when dropped.
#[derive(Debug)]
struct Lane(Lanes);

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The blocks of one upload that are on their way.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// Longer than what is written at once by as much as it takes to begin at a multiple of a block.
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    /// Where in the file the first byte of it belongs: a multiple of a block.
    offset: u64,
    _lane: Lane,
}

impl Direct {
    /// For what comes at `offset` of the file at `path`; nothing where that is no multiple of a block, too many do so already, or the
    /// filesystem does not take it.
    pub(super) fn begin(path: &Path, offset: u64, lanes: &Lanes) -> Option<Self> {
        if !offset.is_multiple_of(BLOCK as u64) {
            return None;
        }
        let lane = lanes.take()?;
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        let memory = vec![0; AT_ONCE + BLOCK];
        let begin = memory.as_ptr().align_offset(BLOCK);
        (begin < BLOCK).then_some(Self { file, memory, begin, filled: 0, offset, _lane: lane })
    }

    /// Takes `bytes`, which come next, and writes what makes a whole piece.
    pub(super) fn push(&mut self, mut bytes: &[u8], usual: &File) -> io::Result<()> {
        while !bytes.is_empty() {
            let length = bytes.len().min(AT_ONCE - self.filled);
            let to = self.begin + self.filled;
            self.memory[to..to + length].copy_from_slice(&bytes[..length]);
            self.filled += length;
            bytes = &bytes[length..];
            if self.filled == AT_ONCE {
                self.write(AT_ONCE, usual)?;
            }
        }
        Ok(())
    }

    /// Writes all that it still holds: by then the file has every byte.
    pub(super) fn end(mut self, usual: &File) -> io::Result<()> {
        let blocks = self.filled - self.filled % BLOCK;
        self.write(blocks, usual)?;
        usual.write_all_at(&self.memory[self.begin..self.begin + self.filled], self.offset)
    }

    /// Writes the first `length` bytes, which are whole blocks, and keeps the others.
    fn write(&mut self, length: usize, usual: &File) -> io::Result<()> {
        let piece = &self.memory[self.begin..self.begin + length];
        match self.file.write_all_at(piece, self.offset) {
            // It wants other multiples.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                usual.write_all_at(piece, self.offset)?;
            }
            written => written?,
        }
        self.memory.copy_within(self.begin + length..self.begin + self.filled, self.begin);
        self.filled -= length;
        self.offset += length as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// In whatever pieces it comes, the file has every byte in its place.
        #[test]
        fn what_is_pushed_is_what_is_there(
            head in 0_usize..3,
            pieces in prop::collection::vec((any::<u8>(), 0_usize..700_000), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data");
            let usual = File::create(&path).unwrap();
            let mut expected = vec![7; head * BLOCK];
            usual.write_all_at(&expected, 0).unwrap();
            let lanes = Lanes::default();
            if let Some(mut direct) = Direct::begin(&path, expected.len() as u64, &lanes) {
                for (byte, length) in pieces {
                    let piece = vec![byte; length];
                    direct.push(&piece, &usual).unwrap();
                    expected.extend(piece);
                }
                direct.end(&usual).unwrap();
            }
            prop_assert!(std::fs::read(&path).unwrap() == expected);
            prop_assert_eq!(lanes.0.load(Ordering::Acquire), 0);
        }
    }

    #[test]
    fn only_so_many_at_a_time_and_only_whole_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        File::create(&path).unwrap();
        let lanes = Lanes::default();
        assert!(Direct::begin(&path, 1, &lanes).is_none());
        let taken: Vec<Lane> = std::iter::from_fn(|| lanes.take()).collect();
        assert_eq!(taken.len(), LANES);
        assert!(Direct::begin(&path, 0, &lanes).is_none());
        drop(taken);
        assert_eq!(lanes.take().map(|_| lanes.0.load(Ordering::Acquire)), Some(1));
    }
}
