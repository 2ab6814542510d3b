//! What all workers share: the blobs, and when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::registries::body::Content;
use crate::registries::random::Random;

/// Few, so that they are let go and taken up all the time.
const BLOBS: u64 = 48;

/// One of the blobs that everybody uses.
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) content: Content,
}

/// The shared part of a soak.
pub(super) struct World {
    pub(super) blobs: Vec<Blob>,
    workers: usize,
    begun: Instant,
    time: Duration,
    over: AtomicBool,
}

impl World {
    pub(super) fn new(workers: usize, time: Duration) -> Self {
        let blobs = (0..BLOBS).map(Blob::new).collect();
        Self { blobs, workers, begun: Instant::now(), time, over: AtomicBool::new(false) }
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.begun.elapsed() >= self.time
    }

    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Blob {
    /// From a byte to 2 MiB, small ones more often.
    fn new(number: u64) -> Self {
        let mut random = Random::new(number);
        let size = 1usize << random.below(22);
        let mut piece = Vec::with_capacity(size);
        while piece.len() < size {
            piece.extend_from_slice(&random.next().to_le_bytes());
        }
        piece.truncate(size);
        let content = Content::repeated(format!("{number} "), Bytes::from(piece), 1);
        Self { digest: content.digest(), content }
    }
}

/// `sha256:HEX` of bytes.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
