//! Downloads: hashed as they stream by, bounded, continued where they broke off.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use sealock_trust::{Algorithm, Digest, Hasher};
use tokio::sync::mpsc;

use super::client::{Http, Request};
use super::retry::Tries;
use crate::blocking::{self, Piece};
use crate::error::FetchError;
use crate::progress::Event;
use crate::settings::Patience;
use crate::upstream::{Failure, UpstreamError};

/// What must come.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The digest it must have, where it is known.
    pub(crate) digest: Option<Digest>,
    /// The bytes it must have, where they are known.
    pub(crate) size: Option<u64>,
    /// The most bytes that are borne.
    pub(crate) limit: u64,
}

impl Expected {
    /// Content that is known by digest and size.
    pub(crate) fn exactly(digest: &Digest, size: u64) -> Self {
        Self { digest: Some(digest.clone()), size: Some(size), limit: size }
    }

    /// Content of which only a bound is known, in bytes.
    pub(crate) fn at_most(limit: u64) -> Self {
        Self { digest: None, size: None, limit }
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// Where bytes land. Runs on a thread that may block.
pub(crate) trait Landing: Send + 'static {
    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError>;
    /// Back to the beginning: the upstream could not continue.
    fn rewind(&mut self) -> Result<(), FetchError>;
}

impl Landing for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), FetchError> {
        self.clear();
        Ok(())
    }
}

/// A file that is filled.
pub(crate) struct FileLanding {
    path: PathBuf,
    file: File,
}

impl FileLanding {
    pub(crate) fn create(path: &Path) -> Result<Self, FetchError> {
        let file = File::create(path).map_err(|source| FetchError::io("create", path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Landing for FileLanding {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|source| FetchError::io("write", &self.path, source))
    }

    fn rewind(&mut self) -> Result<(), FetchError> {
        let emptied = self.file.rewind().and_then(|()| self.file.set_len(0));
        emptied.map_err(|source| FetchError::io("write", &self.path, source))
    }
}

/// Counts only.
pub(super) struct Nowhere;

impl Landing for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<(), FetchError> {
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), FetchError> {
        Ok(())
    }
}

/// Hashes what lands.
struct Hashed<L> {
    inner: L,
    hasher: Hasher,
    algorithm: Algorithm,
    size: u64,
}

impl<L: Landing> Landing for Hashed<L> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.inner.write(bytes)
    }

    fn rewind(&mut self) -> Result<(), FetchError> {
        (self.hasher, self.size) = (Hasher::new(self.algorithm), 0);
        self.inner.rewind()
    }
}

impl Http {
    /// Downloads into memory, at most `expected.limit` bytes.
    pub(crate) async fn read(&self, request: &Request, expected: &Expected) -> Result<(Vec<u8>, Landed), FetchError> {
        self.download(request, expected, Vec::new()).await
    }

    /// Downloads into `landing`, and gives it back when all that was expected has come.
    pub(crate) async fn download<L: Landing>(
        &self,
        request: &Request,
        expected: &Expected,
        landing: L,
    ) -> Result<(L, Landed), FetchError> {
        let algorithm = expected.digest.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let landing = Hashed { inner: landing, hasher: Hasher::new(algorithm), algorithm, size: 0 };
        let Hashed { inner, hasher, size, .. } = self.download_unhashed(request, expected, landing).await?;
        let digest = hasher.finish();
        match &expected.digest {
            Some(wanted) if *wanted != digest => {
                let failure = Failure::WrongDigest { expected: wanted.clone(), got: digest };
                Err(request.failed(failure).into())
            }
            _ => Ok((inner, Landed { digest, size })),
        }
    }

    /// The same for a landing that hashes by itself: the digest is left to it.
    pub(crate) async fn download_unhashed<L: Landing>(
        &self,
        request: &Request,
        expected: &Expected,
        landing: L,
    ) -> Result<L, FetchError> {
        let (pieces, writer) = blocking::writer(landing);
        let transferred = self.transfer(request, expected, &pieces).await;
        drop(pieces);
        // The writer's own failure, a full disk for instance, explains why a transfer stopped.
        let landing = writer.finish().await?;
        transferred?;
        Ok(landing)
    }

    async fn transfer(
        &self,
        request: &Request,
        expected: &Expected,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), UpstreamError> {
        let mut tries = Tries::new(self.settings.retry, &self.progress);
        let mut run = Run { http: self, request, expected, pieces, received: 0 };
        loop {
            let Err(error) = run.attempt().await else { return Ok(()) };
            tries.reached(run.received);
            tries.after(error).await?;
        }
    }
}

/// One download over all its tries.
struct Run<'a> {
    http: &'a Http,
    request: &'a Request,
    expected: &'a Expected,
    pieces: &'a mpsc::Sender<Piece>,
    received: u64,
}

impl Run<'_> {
    async fn attempt(&mut self) -> Result<(), UpstreamError> {
        let response = match self.http.send_once(self.request, self.received).await {
            Err(error)
                if self.received > 0
                    && error.failure == Failure::UnexpectedStatus(StatusCode::RANGE_NOT_SATISFIABLE) =>
            {
                self.rewind().await;
                self.http.send_once(self.request, 0).await?
            }
            other => other?,
        };
        if self.received > 0 && !continues_at(&response, self.received) {
            self.rewind().await;
        }
        let total = response.content_length().map(|rest| rest + self.received);
        self.check_announced(total)?;
        self.stream(response, total.or(self.expected.size)).await
    }

    async fn stream(&mut self, response: reqwest::Response, total: Option<u64>) -> Result<(), UpstreamError> {
        let patience = self.http.settings.patience;
        let mut pace = Pace::new(patience);
        let mut body = response.bytes_stream();
        loop {
            let next = tokio::time::timeout(patience.stall, body.next()).await;
            let piece = match next {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => {
                    return Err(self
                        .request
                        .broken(Failure::Truncated { received: self.received, expected: total }, error));
                }
                Ok(None) => return self.check_complete(total),
                Err(_) => {
                    return Err(self
                        .request
                        .failed(Failure::Stalled { waited: patience.stall, received: self.received }));
                }
            };
            self.take(piece).await?;
            if pace.too_slow(self.received) {
                let failure = Failure::TooSlow { floor: patience.slowest, received: self.received };
                return Err(self.request.failed(failure));
            }
        }
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), UpstreamError> {
        let length = piece.len() as u64;
        if self.received + length > self.expected.limit {
            return Err(self.too_much(self.received + length));
        }
        if self.pieces.send(Piece::Bytes(piece)).await.is_err() {
            // The writer has ended with an error of its own, which `download` reports.
            return Err(self.request.failed(Failure::Malformed("writing stopped".to_owned())));
        }
        self.received += length;
        self.http.progress.report(&Event::Advanced(length));
        Ok(())
    }

    async fn rewind(&mut self) {
        self.http.progress.report(&Event::Rewound(self.received));
        self.received = 0;
        // A closed channel shows at the next piece.
        let _ = self.pieces.send(Piece::Rewind).await;
    }

    fn check_announced(&self, total: Option<u64>) -> Result<(), UpstreamError> {
        match (self.expected.size, total) {
            (Some(expected), Some(announced)) if expected != announced => {
                Err(self.request.failed(Failure::WrongSize { expected, announced }))
            }
            (None, Some(announced)) if announced > self.expected.limit => Err(self.too_much(announced)),
            _ => Ok(()),
        }
    }

    fn check_complete(&self, total: Option<u64>) -> Result<(), UpstreamError> {
        match total {
            Some(total) if total != self.received => {
                Err(self.request.failed(Failure::Truncated { received: self.received, expected: Some(total) }))
            }
            _ => Ok(()),
        }
    }

    fn too_much(&self, announced: u64) -> UpstreamError {
        self.request.failed(match self.expected.size {
            Some(expected) => Failure::WrongSize { expected, announced },
            None => Failure::TooLarge { limit: self.expected.limit },
        })
    }
}

/// Whether the answer goes on at byte `from` (RFC 9110, 14.4).
fn continues_at(response: &reqwest::Response, from: u64) -> bool {
    let start = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = start.and_then(|value| value.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && start == Some(from)
}

/// Finds downloads that trickle.
struct Pace {
    patience: Patience,
    since: Instant,
    at: u64,
}

impl Pace {
    fn new(patience: Patience) -> Self {
        Self { patience, since: Instant::now(), at: u64::MAX }
    }

    fn too_slow(&mut self, received: u64) -> bool {
        if self.at == u64::MAX {
            self.at = received;
        }
        let elapsed = self.since.elapsed();
        if elapsed < self.patience.stall * 4 {
            return false;
        }
        let floor = (self.patience.slowest as f64 * elapsed.as_secs_f64()) as u64;
        let slow = received.saturating_sub(self.at) < floor;
        (self.since, self.at) = (Instant::now(), received);
        slow
    }
}
