//! The digests of one volume, taken while its bytes pass by.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sealock_trust::Hasher;
use sealock_trust::digest::Algorithm;

use super::error::VolumeError;
use super::geometry::BLOCK;
use super::index::{BlockDigest, Volume, block_digest};
use crate::archive::IoContext;

/// The digests of what was pushed: block after block, each whole but perhaps the last.
pub(super) struct Tally {
    all: Hasher,
    blocks: Vec<BlockDigest>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { all: Hasher::new(Algorithm::Sha256), blocks: Vec::new() }
    }

    pub(super) fn push(&mut self, block: &[u8]) {
        self.all.update(block);
        self.blocks.push(block_digest(block));
    }

    pub(super) fn finish(self) -> Volume {
        Volume { digest: self.all.finish(), blocks: self.blocks }
    }
}

/// The digests of an open file of `size` bytes.
pub(super) fn of_file(file: &File, path: &Path, size: u64) -> Result<Volume, VolumeError> {
    let (mut tally, mut buffer) = (Tally::new(), new_block());
    for (position, length) in pieces(size) {
        let block = &mut buffer[..length];
        file.read_exact_at(block, position).during("read", path)?;
        tally.push(block);
    }
    Ok(tally.finish())
}

/// Where the blocks of `size` bytes begin, and how long they are.
pub(super) fn pieces(size: u64) -> impl Iterator<Item = (u64, usize)> {
    let length = move |position: u64| usize::try_from((size - position).min(BLOCK)).unwrap_or(0);
    (0..size.div_ceil(BLOCK)).map(move |block| (block * BLOCK, length(block * BLOCK)))
}

pub(super) fn new_block() -> Vec<u8> {
    vec![0; usize::try_from(BLOCK).unwrap_or(0)]
}
