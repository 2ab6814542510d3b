//! Streams the payload of a bundle: every byte behind the header is judged here.

use super::layout::{self, Slot};
use super::{Archive, ArchiveError, Medium, entry, tar};
use crate::manifest::{Blob, Carried, Manifest, Patch};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// What a sink did with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It read all of it and found the promised digest.
    Whole,
    /// It has it from elsewhere and did not read it.
    Skipped,
}

/// Takes the blobs of a bundle, one after the other.
pub trait BlobSink {
    /// What can go wrong while taking; the archive's own errors among it.
    type Error: From<ArchiveError>;

    /// Reads `blob` from `data` to the end and checks its digest, or skips it.
    ///
    /// # Errors
    /// When the digest is another one, or the content cannot be kept.
    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, Self::Error>;

    /// Reads the `patch` that makes `blob` from `data` to the end and checks its digest, or skips it.
    ///
    /// # Errors
    /// When the digest is another one, or it does not make the blob.
    fn take_patch(&mut self, blob: &Blob, patch: &Patch, data: &mut BlobReader<'_>) -> Result<Taken, Self::Error>;
}

/// The content of one blob, in pieces.
#[derive(Debug)]
pub struct BlobReader<'a> {
    source: &'a Medium,
    buffer: &'a mut [u8],
    position: u64,
    remaining: u64,
}

impl BlobReader<'_> {
    /// The next piece, of at most 1 MiB; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or has become shorter.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let length = self.buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        let piece = &mut self.buffer[..length];
        self.source.read(piece, self.position)?;
        self.position += length as u64;
        self.remaining -= length as u64;
        Ok(Some(piece))
    }
}

impl Medium {
    /// Checks that `length` bytes, fewer than a few blocks, are zero.
    fn expect_zeros(&self, position: u64, length: u64) -> Result<(), ArchiveError> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read(&mut bytes, position)?;
        match bytes.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => {
                let problem = "there should be nothing but zeros between two entries".to_owned();
                Err(ArchiveError::Damaged { offset: position + at as u64, problem })
            }
        }
    }

    /// Checks the tar headers in front of the data of `slot`, which stand at `position`.
    fn expect_head(&self, slot: &Slot, position: u64) -> Result<(), ArchiveError> {
        let expected = slot.head();
        let mut actual = vec![0; expected.len()];
        self.read(&mut actual, position)?;
        if actual == expected {
            return Ok(());
        }
        let (last, pax) = actual.split_last_chunk::<512>().map_or((&[0; 512], &[][..]), |(pax, last)| (last, pax));
        if let Some(first) = pax.first_chunk::<512>().filter(|first| first[156] != b'x') {
            return Err(entry::explain(first, position, &slot.name, slot.size));
        }
        let pax_differs = expected.get(..pax.len()).is_some_and(|expected| expected != pax);
        if pax_differs {
            let problem = format!("the PAX records of {:?} are not the ones that align it", slot.name);
            return Err(ArchiveError::Ambiguous { offset: position, problem });
        }
        Err(entry::explain(last, position + pax.len() as u64, &slot.name, slot.size))
    }
}

impl Archive {
    /// Hands every blob to `sink`, in order, and judges everything between them. `done` hears of bytes behind which all is well.
    ///
    /// `manifest` must be this archive's own, its frame checked ([`Archive::check_frame`]).
    pub(crate) fn stream<S: BlobSink>(
        &self,
        manifest: &Manifest,
        sink: &mut S,
        done: &mut dyn FnMut(u64),
    ) -> Result<(), S::Error> {
        let source = &self.medium;
        let start = self.header_size();
        let mut buffer = vec![0; CHUNK];
        let mut end = start;
        for (entry, slot) in manifest.entries().zip(layout::slots_of(manifest)) {
            source.expect_head(&slot, start + slot.start)?;
            let position = start + slot.data;
            let mut data = BlobReader { source, buffer: &mut buffer, position, remaining: slot.size };
            let taken = match entry {
                Carried::Whole(blob) => sink.take(blob, &mut data)?,
                Carried::Patch(blob, patch) => sink.take_patch(blob, patch, &mut data)?,
            };
            if taken == Taken::Whole && data.remaining > 0 {
                // A sink that stops early has not seen the digest.
                return Err(ArchiveError::WrongSize {
                    name: slot.name,
                    actual: slot.size - data.remaining,
                    expected: slot.size,
                }
                .into());
            }
            source.expect_zeros(position + slot.size, tar::padding(slot.size))?;
            end = start + slot.end();
            done(end - start);
        }
        Ok(source.expect_zeros(end, layout::END)?)
    }
}
