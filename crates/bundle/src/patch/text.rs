//! The text of a base: what is in its gzip members, or the blob itself.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::container::Encoding;
use super::error::PatchError;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// How far into a base's text a patch may reach, in bytes: 64 GiB.
const MAX_TEXT: u64 = 64 << 30;

/// How gzip, and zstd, files begin.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the first bytes of a blob say about it; nothing where its text is not looked for.
pub(super) fn encoding(first: &[u8]) -> Option<Encoding> {
    match first {
        _ if first.starts_with(&ZSTD) => None,
        _ if first.starts_with(&GZIP) => Some(Encoding::Gzip),
        _ => Some(Encoding::Plain),
    }
}

/// The first bytes of a blob, and all of it.
pub(super) fn peeked<R: Read>(blob: R) -> io::Result<(Vec<u8>, BufReader<R>)> {
    let mut blob = BufReader::with_capacity(PIECE, blob);
    let first = blob.fill_buf()?;
    let first = first[..first.len().min(ZSTD.len())].to_vec();
    Ok((first, blob))
}

/// The text of a blob.
pub(super) fn text<'a>(blob: impl BufRead + 'a, encoding: Encoding) -> Box<dyn Read + 'a> {
    match encoding {
        Encoding::Plain => Box::new(blob),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(blob)),
    }
}

/// A stretch of a text that only moves on.
pub(super) struct Window<'a> {
    text: Box<dyn Read + 'a>,
    bytes: Vec<u8>,
    /// Where it begins in the text.
    start: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(text: Box<dyn Read + 'a>) -> Self {
        Self { text, bytes: Vec::new(), start: 0 }
    }

    /// The `length` bytes from `from` on, which must not be before those of the last call.
    pub(super) fn slide(&mut self, from: u64, length: usize) -> Result<&[u8], PatchError> {
        let too_far = from.checked_add(length as u64).is_none_or(|end| end > MAX_TEXT);
        let skipped = from.checked_sub(self.start).filter(|_| !too_far);
        let skipped =
            skipped.ok_or_else(|| PatchError::Form("it goes back in its base, or beyond all bounds".into()))?;
        let dropped = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..dropped);
        self.pass_over(skipped - dropped as u64)?;
        self.start = from;
        let lacking = length.saturating_sub(self.bytes.len()) as u64;
        let text = &mut self.text;
        let read = text.take(lacking).read_to_end(&mut self.bytes).map_err(reading)?;
        if read as u64 != lacking {
            return Err(PatchError::Base("its text is too short".to_owned()));
        }
        Ok(&self.bytes[..length])
    }

    fn pass_over(&mut self, count: u64) -> Result<(), PatchError> {
        let passed = io::copy(&mut (&mut self.text).take(count), &mut io::sink()).map_err(reading)?;
        match passed == count {
            true => Ok(()),
            false => Err(PatchError::Base("its text is too short".to_owned())),
        }
    }
}

/// What the decoder says of damage is about the base; all else is the disk's.
fn reading(error: io::Error) -> PatchError {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            PatchError::Base(error.to_string())
        }
        _ => PatchError::ReadBase(error),
    }
}
