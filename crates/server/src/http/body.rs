//! Response bodies: nothing, bytes in memory, or a range of a file.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

/// What is read from a file at once, and so what one download keeps in memory; in bytes.
pub(crate) const READ_AT_ONCE: u64 = 256 * 1024;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    File(FileBody),
}

impl Body {
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }

    fn remaining(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.remaining,
        }
    }
}

/// The rest of a range of a file. Read piece by piece on the blocking threads, never ahead of the client.
#[derive(Debug)]
pub(crate) struct FileBody {
    source: Source,
    /// Bytes that are still to be sent.
    remaining: u64,
}

#[derive(Debug)]
enum Source {
    /// The next piece, and the file behind it.
    Ready(Bytes, File),
    /// The file, at the next piece.
    Idle(File),
    Reading(JoinHandle<io::Result<(Bytes, File)>>),
    /// All was sent, or reading failed.
    Ended,
}

impl FileBody {
    /// The bytes `start..end` of `file`; the first piece is read at once, so this blocks.
    pub(crate) fn open(mut file: File, start: u64, end: u64) -> io::Result<Self> {
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        let remaining = end - start;
        let (piece, file) = read_piece(file, remaining)?;
        Ok(Self { source: Source::Ready(piece, file), remaining })
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Ended => return Poll::Ready(None),
                Source::Ready(piece, file) => {
                    self.remaining -= piece.len() as u64;
                    self.source = Source::Idle(file);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Source::Idle(file) => {
                    let remaining = self.remaining;
                    self.source = Source::Reading(tokio::task::spawn_blocking(move || read_piece(file, remaining)));
                }
                Source::Reading(mut reading) => match Pin::new(&mut reading).poll(context) {
                    Poll::Ready(Ok(Ok((piece, file)))) => self.source = Source::Ready(piece, file),
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
            Self::File(file) => {
                let piece = ready!(file.poll_piece(context));
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

/// Reads the next piece of `remaining` bytes. A file that ends early is an error, so that the connection is closed and
/// the client does not take a part for the whole.
fn read_piece(mut file: File, remaining: u64) -> io::Result<(Bytes, File)> {
    let length = remaining.min(READ_AT_ONCE);
    let mut piece = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    (&mut file).take(length).read_to_end(&mut piece)?;
    if piece.len() as u64 != length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than it was"));
    }
    Ok((piece.into(), file))
}
