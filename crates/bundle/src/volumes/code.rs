//! The erasure code: Reed–Solomon over GF(2^16), in its high-rate form for every shape (docs/formats/volumes.md).

use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder};

use super::geometry::{BLOCK, ParityShape};

/// Why blocks cannot be coded: only for a shape or a number of blocks that nobody should have asked for.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the stripe cannot be coded: {0}")]
pub(super) struct CodeError(reed_solomon_simd::Error);

/// Makes the parity of one stripe after the other.
pub(super) struct Encoder {
    inner: HighRateEncoder<DefaultEngine>,
    left: u64,
    shape: ParityShape,
}

impl Encoder {
    pub(super) fn new(shape: ParityShape) -> Result<Self, CodeError> {
        let (data, parity, block) = counts(shape);
        let inner = HighRateEncoder::new(data, parity, block, DefaultEngine::new(), None).map_err(CodeError)?;
        Ok(Self { inner, left: shape.data, shape })
    }

    /// Adds the next data block of the stripe: a whole block, zeros behind a short one.
    pub(super) fn add(&mut self, block: &[u8]) -> Result<(), CodeError> {
        self.left = self.left.saturating_sub(1);
        self.inner.add_original_shard(block).map_err(CodeError)
    }

    /// Hands the parity blocks of the stripe to `take`, and begins the next. Data that is missing still counts as zeros.
    pub(super) fn finish<E: From<CodeError>>(
        &mut self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let zeros = vec![0; if self.left > 0 { counts(self.shape).2 } else { 0 }];
        while self.left > 0 {
            self.add(&zeros)?;
        }
        self.left = self.shape.data;
        let parity = self.inner.encode().map_err(CodeError)?;
        (0..).zip(parity.recovery_iter()).try_for_each(|(row, block)| take(row, block))
    }
}

/// Rebuilds the data of one stripe after the other.
pub(super) struct Decoder {
    inner: HighRateDecoder<DefaultEngine>,
    shape: ParityShape,
}

impl Decoder {
    pub(super) fn new(shape: ParityShape) -> Result<Self, CodeError> {
        let (data, parity, block) = counts(shape);
        let inner = HighRateDecoder::new(data, parity, block, DefaultEngine::new(), None).map_err(CodeError)?;
        Ok(Self { inner, shape })
    }

    /// Adds a block that is there: data from 0, then parity.
    pub(super) fn add(&mut self, shard: u64, block: &[u8]) -> Result<(), CodeError> {
        let index = |shard: u64| usize::try_from(shard).unwrap_or(usize::MAX);
        match shard.checked_sub(self.shape.data) {
            None => self.inner.add_original_shard(index(shard), block),
            Some(row) => self.inner.add_recovery_shard(index(row), block),
        }
        .map_err(CodeError)
    }

    /// Hands the data blocks that were not added to `take`, and begins the next stripe.
    pub(super) fn finish<E: From<CodeError>>(
        &mut self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let restored = self.inner.decode().map_err(CodeError)?;
        restored.restored_original_iter().try_for_each(|(shard, block)| take(shard as u64, block))
    }
}

fn counts(shape: ParityShape) -> (usize, usize, usize) {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    (count(shape.data), count(shape.parity), count(BLOCK))
}

#[cfg(test)]
mod tests;
