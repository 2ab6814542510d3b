//! Takes the body of a request: never more of it in memory than a few pieces, and never for longer than the client makes progress.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What is handed on at once; in bytes. The connection itself gives 16 KiB at a time.
const PIECE: usize = 128 * 1024;

/// A frame that is shorter is copied; in bytes.
const SMALL: usize = 8 * 1024;

/// Pieces that may wait to be written.
const WAITING: usize = 2;

/// What is still read of a body that nobody wants, so that the client gets to read why; in bytes.
const PATIENCE: usize = 1 << 20;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Vec<Bytes>),
    /// Behind the last one.
    End,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    /// The client went away, or broke the rules of the protocol.
    Cut,
    /// The client took too long.
    Slow,
    /// Longer than was allowed.
    TooLong,
}

/// Gives `body`, piece by piece, to `write` on a thread that may block. `write` sees no [`Piece::End`] where the body was cut off.
pub(crate) async fn receive<R: Send + 'static>(
    mut body: Incoming,
    stalled: Duration,
    write: impl FnOnce(mpsc::Receiver<Piece>) -> R + Send + 'static,
) -> (Option<R>, Ending) {
    let (pieces, waiting) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || write(waiting));
    let ending = feed(&mut body, stalled, &pieces).await;
    drop(pieces);
    let result = writing.await.inspect_err(|error| tracing::error!(%error, "a write ended early")).ok();
    (result, ending)
}

async fn feed(body: &mut Incoming, stalled: Duration, pieces: &mpsc::Sender<Piece>) -> Ending {
    loop {
        let (piece, is_last) = match timeout(stalled, next(body)).await {
            Ok(Some(Ok(piece))) => (Piece::Data(piece), false),
            Ok(None) => (Piece::End, true),
            Ok(Some(Err(()))) => return Ending::Cut,
            Err(_) => return Ending::Slow,
        };
        if pieces.send(piece).await.is_err() {
            // Nobody wants the rest. Without reading some of it the client might not read the answer.
            let _ = timeout(stalled, skim(body)).await;
            return Ending::Whole;
        }
        if is_last {
            return Ending::Whole;
        }
    }
}

/// The next bytes, as many as make a piece where there are so many.
async fn next(body: &mut Incoming) -> Option<Result<Vec<Bytes>, ()>> {
    let mut gathered = Gathered::default();
    while gathered.length < PIECE {
        match body.frame().await {
            None if gathered.length == 0 => return None,
            None => break,
            Some(Err(_)) => return Some(Err(())),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                gathered.push(data);
            }
        }
    }
    Some(Ok(gathered.end()))
}

/// Frames that come one after the other. Large ones stay as they came, since each copy of a gigabyte costs; of small ones each would keep
/// the memory of the read it came with.
#[derive(Default)]
struct Gathered {
    frames: Vec<Bytes>,
    small: BytesMut,
    length: usize,
}

impl Gathered {
    fn push(&mut self, frame: Bytes) {
        self.length += frame.len();
        if frame.len() < SMALL {
            self.small.extend_from_slice(&frame);
        } else {
            self.close();
            self.frames.push(frame);
        }
    }

    fn close(&mut self) {
        if !self.small.is_empty() {
            self.frames.push(self.small.split().freeze());
        }
    }

    fn end(mut self) -> Vec<Bytes> {
        self.close();
        self.frames
    }
}

/// The bytes of all `frames`.
pub(crate) fn amount(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}

async fn skim(body: &mut Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.into_data().map_or(0, |data| data.len());
        if seen > PATIENCE {
            return;
        }
    }
}

/// The whole body, where it has at most `limit` bytes and comes within `patience`.
pub(crate) async fn collect(body: &mut Incoming, limit: usize, patience: Duration) -> Result<Bytes, Ending> {
    timeout(patience, collect_all(body, limit)).await.unwrap_or(Err(Ending::Slow))
}

async fn collect_all(body: &mut Incoming, limit: usize) -> Result<Bytes, Ending> {
    let mut whole = BytesMut::new();
    loop {
        match next(body).await {
            None => return Ok(whole.freeze()),
            Some(Ok(frames)) if whole.len() + amount(&frames) <= limit => whole.extend(frames),
            Some(Ok(_)) => {
                skim(body).await;
                return Err(Ending::TooLong);
            }
            Some(Err(())) => return Err(Ending::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_gathered_and_large_ones_left_as_they_came() {
        let large = Bytes::from(vec![7; SMALL]);
        let mut gathered = Gathered::default();
        for frame in
            [Bytes::from_static(b"a"), Bytes::from_static(b"b"), large.clone(), large.clone(), Bytes::from_static(b"c")]
        {
            gathered.push(frame);
        }
        assert_eq!(gathered.length, 2 * SMALL + 3);
        let frames = gathered.end();
        assert_eq!(frames, [Bytes::from_static(b"ab"), large.clone(), large.clone(), Bytes::from_static(b"c")]);
        assert_eq!(frames[1].as_ptr(), large.as_ptr(), "it was copied");
        assert_eq!(amount(&frames), 2 * SMALL + 3);
    }

    #[test]
    fn many_frames_of_a_byte_are_one_piece_of_memory() {
        let mut gathered = Gathered::default();
        (0..PIECE).for_each(|_| gathered.push(Bytes::from_static(b"x")));
        assert_eq!(gathered.end().len(), 1);
    }
}
