//! Reads several TLS records at once from connections that bring much.
//!
//! rustls reads at most one record at a time, some 16 KiB: 61,000 calls into the kernel for each gigabyte that is pushed. A connection that
//! fills what it is asked for is read in larger pieces, into memory that it gives back as soon as nothing waits there: idle
//! connections hold none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::poll_read_buf;

/// What is read at once, in bytes: it stays in the processor's own cache until it is decrypted.
const AT_ONCE: usize = 64 * 1024;

/// How many connections read ahead at a time; the others are read a record at a time.
const LANES: usize = 64;

/// How many connections read ahead at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Lanes(Arc<Semaphore>);

impl Default for Lanes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LANES)))
    }
}

/// What was read, and the right to have memory for it.
#[derive(Debug)]
struct Ahead {
    bytes: BytesMut,
    _lane: OwnedSemaphorePermit,
}

/// A stream that reads ahead while much comes. Writes go through as they are.
#[derive(Debug)]
pub(crate) struct ReadAhead<S> {
    stream: S,
    lanes: Lanes,
    ahead: Option<Ahead>,
    /// Whether the last read got all that it had asked for.
    has_filled: bool,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(stream: S, lanes: &Lanes) -> Self {
        Self { stream, lanes: lanes.clone(), ahead: None, has_filled: false }
    }

    /// Memory for what comes, where much does.
    fn begin(&mut self) {
        if self.has_filled
            && self.ahead.is_none()
            && let Ok(lane) = self.lanes.0.clone().try_acquire_owned()
        {
            self.ahead = Some(Ahead { bytes: BytesMut::with_capacity(AT_ONCE), _lane: lane });
        }
    }
}

impl<S: AsyncRead + Unpin> ReadAhead<S> {
    fn poll_read_directly(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.has_filled = buffer.remaining() == 0 && buffer.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.begin();
        let Some(ahead) = &mut this.ahead else { return this.poll_read_directly(context, buffer) };
        if ahead.bytes.is_empty() {
            ahead.bytes.clear();
            ahead.bytes.reserve(AT_ONCE);
            match poll_read_buf(Pin::new(&mut this.stream), context, &mut ahead.bytes) {
                Poll::Ready(Ok(1..)) => {}
                // Nothing more for the moment, or ever.
                other => {
                    (this.ahead, this.has_filled) = (None, false);
                    return other.map_ok(|_| ());
                }
            }
        }
        let length = ahead.bytes.len().min(buffer.remaining());
        buffer.put_slice(&ahead.bytes[..length]);
        ahead.bytes.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Every byte that comes through it, asked for in pieces of `asked` bytes, while the other side writes `pieces`.
    fn through(pieces: Vec<Vec<u8>>, asked: usize, lanes: &Lanes) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(100_000);
            let writing = tokio::spawn(async move {
                for piece in pieces {
                    client.write_all(&piece).await.unwrap();
                }
            });
            let (mut stream, mut seen, mut buffer) = (ReadAhead::new(server, lanes), Vec::new(), vec![0; asked]);
            loop {
                let length = stream.read(&mut buffer).await.unwrap();
                if length == 0 {
                    break;
                }
                seen.extend_from_slice(&buffer[..length]);
            }
            writing.await.unwrap();
            assert!(stream.ahead.is_none(), "memory is held for nothing");
            seen
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_byte_comes_once_and_in_order(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50_000), 0..8),
            asked in 1_usize..20_000,
        ) {
            let lanes = Lanes::default();
            let expected = pieces.concat();
            prop_assert!(through(pieces, asked, &lanes) == expected);
            prop_assert_eq!(lanes.0.available_permits(), LANES);
        }
    }

    #[test]
    fn without_a_lane_it_reads_as_it_is_asked_to() {
        let lanes = Lanes(Arc::new(Semaphore::new(0)));
        assert_eq!(through(vec![vec![7; 300_000]], 1000, &lanes), vec![7; 300_000]);
    }
}
