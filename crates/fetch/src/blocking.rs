//! The way down: hashing, writing and unpacking run on threads that may block.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::FetchError;
use crate::http::Landing;

/// What the writer receives.
pub(crate) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// All over again.
    Rewind,
}

/// A thread that writes what it receives.
pub(crate) struct Writer<L> {
    task: JoinHandle<Result<L, FetchError>>,
}

/// Starts a writer into `landing`; it ends when the sender is dropped. Few pieces wait at a time, so memory stays bounded.
pub(crate) fn writer<L: Landing>(mut landing: L) -> (mpsc::Sender<Piece>, Writer<L>) {
    let (sender, mut pieces) = mpsc::channel(16);
    let task = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => landing.write(&bytes)?,
                Piece::Rewind => landing.rewind()?,
            }
        }
        Ok(landing)
    });
    (sender, Writer { task })
}

impl<L> Writer<L> {
    /// Waits for all pieces to be written.
    pub(crate) async fn finish(self) -> Result<L, FetchError> {
        self.task.await.map_err(FetchError::panicked)?
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(FetchError::panicked)?
}
