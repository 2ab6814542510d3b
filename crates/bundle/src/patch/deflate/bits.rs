//! Bits as DEFLATE packs them: the lowest bit of a byte first (RFC 1951, 3.1.1).

use std::io::{self, BufRead};

/// Reads bits, and between streams whole bytes.
#[derive(Debug)]
pub(in crate::patch) struct BitReader<R> {
    inner: R,
    bits: u64,
    count: u32,
    taken: u64,
}

impl<R: BufRead> BitReader<R> {
    pub(in crate::patch) fn new(inner: R) -> Self {
        Self { inner, bits: 0, count: 0, taken: 0 }
    }

    /// Up to 15 bits without taking them; beyond the end they are zero.
    pub(super) fn peek(&mut self, count: u32) -> io::Result<u32> {
        if self.count < count {
            self.refill()?;
        }
        Ok(low(self.bits, count))
    }

    /// Takes up to 32 bits.
    pub(super) fn take(&mut self, count: u32) -> io::Result<u32> {
        let bits = self.peek(count)?;
        if self.count < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.bits >>= count;
        self.count -= count;
        self.taken += u64::from(count);
        Ok(bits)
    }

    /// Bits that were taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the bits up to the next whole byte.
    pub(super) fn padding(&mut self) -> io::Result<u32> {
        self.take(self.count % 8)
    }

    /// The next whole byte, or nothing at the end.
    pub(in crate::patch) fn byte(&mut self) -> io::Result<Option<u8>> {
        match self.take(8) {
            Ok(byte) => Ok(u8::try_from(byte).ok()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.count == 0 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        while self.count <= 56 {
            let buffer = self.inner.fill_buf()?;
            let room = ((64 - self.count) / 8) as usize;
            let taken = buffer.len().min(room);
            for byte in &buffer[..taken] {
                self.bits |= u64::from(*byte) << self.count;
                self.count += 8;
            }
            self.inner.consume(taken);
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn low(bits: u64, count: u32) -> u32 {
    u32::try_from(bits & ((1 << count) - 1)).unwrap_or(u32::MAX)
}

/// Writes bits into memory.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `count` of `bits`, at most 32; the others are zero.
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.bits.to_le_bytes()[0]);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    /// Appends zeros up to the next whole byte.
    pub(super) fn pad(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }

    /// Appends whole bytes, at the start of a byte.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bits so far.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.count)
    }

    /// The whole bytes so far; what is left of a byte stays.
    pub(super) fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
