//! The way down: hashing, writing and unpacking run on threads that may block.

use std::io;

use bytes::Bytes;
use sealock_trust::{Algorithm, Digest, Hasher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::http::Landing;

/// What the writer receives.
pub(crate) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// All over again.
    Rewind,
}

/// A thread that hashes and writes what it receives.
pub(crate) struct Writer<L> {
    task: JoinHandle<io::Result<(L, Digest, u64)>>,
}

/// Starts a writer into `landing`; it ends when the sender is dropped. Few pieces wait at a time, so memory stays bounded.
pub(crate) fn writer<L: Landing>(mut landing: L, algorithm: Algorithm) -> (mpsc::Sender<Piece>, Writer<L>) {
    let (sender, mut pieces) = mpsc::channel(16);
    let task = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::new(algorithm);
        let mut size = 0;
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => {
                    hasher.update(&bytes);
                    landing.write(&bytes)?;
                    size += bytes.len() as u64;
                }
                Piece::Rewind => {
                    hasher = Hasher::new(algorithm);
                    landing.rewind()?;
                    size = 0;
                }
            }
        }
        Ok((landing, hasher.finish(), size))
    });
    (sender, Writer { task })
}

impl<L> Writer<L> {
    /// Waits for all pieces to be written.
    pub(crate) async fn finish(self) -> io::Result<(L, Digest, u64)> {
        self.task.await.map_err(io::Error::other)?
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn run<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => Err(io::Error::other(panicked).into()),
    }
}
