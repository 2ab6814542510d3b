//! Response bodies: nothing, bytes in memory, or a range of a blob.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sealock_store::Blob;
use tokio::task::JoinHandle;

/// What is read from a blob at once, and so what one download keeps in memory; in bytes.
pub(crate) const READ_AT_ONCE: u64 = 256 * 1024;

/// Pieces of one download that are remembered, to be read into again: one on its way, one being read.
const REMEMBERED: usize = 2;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    Blob(BlobBody),
}

impl Body {
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }

    fn remaining(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.remaining,
        }
    }
}

/// The rest of a range of a blob. Read piece by piece on the blocking threads, never ahead of the client.
///
/// The blob stays open for as long: whether it is migrated, or deleted, meanwhile makes no difference.
#[derive(Debug)]
pub(crate) struct BlobBody {
    source: Source,
    /// Where the piece behind the one at hand begins, in bytes.
    position: u64,
    /// Bytes that are still to be sent.
    remaining: u64,
    /// What was handed out last. Memory that is used again needs no page that the kernel clears first.
    handed_out: Vec<Bytes>,
}

#[derive(Debug)]
enum Source {
    /// The next piece, and the blob behind it.
    Ready(Bytes, Blob),
    /// The blob, at the next piece.
    Idle(Blob),
    Reading(JoinHandle<io::Result<(Bytes, Blob)>>),
    /// All was sent, or reading failed.
    Ended,
}

impl BlobBody {
    /// The bytes `start..end` of `blob`; the first piece is read at once, so this blocks.
    pub(crate) fn open(blob: Blob, start: u64, end: u64) -> io::Result<Self> {
        let remaining = end - start;
        let (piece, blob) = read_piece(blob, (start, remaining), Vec::new())?;
        let position = start + piece.len() as u64;
        Ok(Self { position, source: Source::Ready(piece, blob), remaining, handed_out: Vec::new() })
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Ended => return Poll::Ready(None),
                Source::Ready(piece, blob) => {
                    self.remaining -= piece.len() as u64;
                    self.source = Source::Idle(blob);
                    self.remember(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Source::Idle(blob) => {
                    let (place, buffer) = ((self.position, self.remaining), self.buffer());
                    let read = move || read_piece(blob, place, buffer);
                    self.source = Source::Reading(tokio::task::spawn_blocking(read));
                }
                Source::Reading(mut reading) => match Pin::new(&mut reading).poll(context) {
                    Poll::Ready(Ok(Ok((piece, blob)))) => {
                        self.position += piece.len() as u64;
                        self.source = Source::Ready(piece, blob);
                    }
                    Poll::Ready(Ok(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                    Poll::Pending => {
                        self.source = Source::Reading(reading);
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

impl BlobBody {
    fn remember(&mut self, piece: &Bytes) {
        if self.handed_out.len() < REMEMBERED && self.remaining > 0 {
            self.handed_out.push(piece.clone());
        }
    }

    /// The memory of a piece that was sent, where there is one; else none yet.
    fn buffer(&mut self) -> Vec<u8> {
        let sent = self.handed_out.iter().position(Bytes::is_unique);
        sent.map_or_else(Vec::new, |at| {
            let mut piece = self.handed_out.swap_remove(at);
            // All of it at once would be given back to the allocator.
            piece.truncate(1);
            let mut memory = Vec::from(piece);
            memory.clear();
            memory
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Blob(blob) => {
                let piece = ready!(blob.poll_piece(context));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// Reads the next piece of `remaining` bytes from `position` into `piece`, which is empty. A blob that ends early is an error, so that the connection is closed
/// and the client does not take a part for the whole.
fn read_piece(blob: Blob, (position, remaining): (u64, u64), mut piece: Vec<u8>) -> io::Result<(Bytes, Blob)> {
    let length = remaining.min(READ_AT_ONCE);
    piece.reserve_exact(usize::try_from(length).map_err(io::Error::other)?);
    while (piece.len() as u64) < length {
        let at = position + piece.len() as u64;
        match blob.read_onto(&mut piece, at) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than it was")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // There may have been room for more.
    piece.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Ok((piece.into(), blob))
}
