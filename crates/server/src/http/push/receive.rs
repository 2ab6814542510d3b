//! Takes the body of a request: never more of it in memory than a few pieces, and never for longer than the client makes progress.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What is handed on at once; in bytes. The connection itself gives 16 KiB at a time.
const PIECE: usize = 128 * 1024;

/// What one frame may bring more than makes a piece; in bytes.
const FRAME: usize = 32 * 1024;

/// Pieces that may wait to be written.
const WAITING: usize = 2;

/// What is still read of a body that nobody wants, so that the client gets to read why; in bytes.
const PATIENCE: usize = 1 << 20;

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
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
async fn next(body: &mut Incoming) -> Option<Result<Bytes, ()>> {
    let mut piece = BytesMut::new();
    while piece.len() < PIECE {
        match body.frame().await {
            None if piece.is_empty() => return None,
            None => break,
            Some(Err(_)) => return Some(Err(())),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if piece.is_empty() && data.len() >= PIECE {
                    return Some(Ok(data));
                }
                if piece.is_empty() {
                    piece.reserve(if body.is_end_stream() { data.len() } else { PIECE + FRAME });
                }
                piece.extend_from_slice(&data);
            }
        }
    }
    Some(Ok(piece.freeze()))
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
            Some(Ok(piece)) if whole.len() + piece.len() <= limit => whole.extend_from_slice(&piece),
            Some(Ok(_)) => {
                skim(body).await;
                return Err(Ending::TooLong);
            }
            Some(Err(())) => return Err(Ending::Cut),
        }
    }
}
