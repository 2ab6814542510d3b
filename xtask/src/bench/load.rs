//! A load generator: connections that ask one after the other, on one core, while the server has another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::task::JoinSet;

use super::measure;
use crate::registries::body::Content;
use crate::registries::client::{Ask, Connection, Connector, blocking};
use crate::registries::upload::{self, Form};
use crate::registries::{Endpoint, Registry};

/// The core of the servers.
pub const SERVER_CORE: usize = 0;
/// The core of the load generator.
const CLIENT_CORE: usize = 1;

/// What each connection does again and again.
#[derive(Clone, Debug)]
pub enum Job {
    /// One request whose answer is read to its end.
    Ask {
        /// GET or HEAD.
        method: Method,
        /// Paths, taken in turn.
        paths: Vec<String>,
        /// Bytes that an answer must have; none where nobody knows.
        bytes: Option<u64>,
    },
    /// A part of one blob by an open-ended range, after which the connection is dropped: containerd's parallel fetch.
    OpenRange {
        /// The blob.
        path: String,
        /// Its size.
        size: u64,
    },
    /// One new blob.
    Push {
        /// Into this repository.
        repository: String,
        /// In this form.
        form: Form,
        /// Repeated behind a head that nothing else has.
        piece: Bytes,
        /// How often.
        times: u64,
    },
}

/// A job, how many at a time, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    pub job: Job,
    pub connections: usize,
    pub until: Until,
}

/// When a measurement ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time, and what was begun is done.
    Time(Duration),
    /// After this many times.
    Times(u64),
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Times that the job was done.
    pub done: u64,
    /// Bytes that clients got or gave.
    pub bytes: u64,
    /// Seconds.
    pub wall: f64,
    /// Processor seconds of the server.
    pub cpu: f64,
    /// Seconds that each took, in ascending order.
    latencies: Vec<f64>,
}

impl Measured {
    /// The latency, in seconds, that this share of the jobs stayed below.
    pub fn quantile(&self, share: f64) -> f64 {
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(index).or(self.latencies.last()).copied().unwrap_or_default()
    }
}

/// Measures one load, from a thread that has a core of its own.
pub fn measure(registry: &Registry, load: &Load) -> Result<Measured> {
    let (endpoint, load, pid) = (registry.endpoint.clone(), load.clone(), registry.pid());
    let generator = std::thread::spawn(move || {
        pin(CLIENT_CORE)?;
        blocking(generate(&endpoint, &load, pid))
    });
    generator.join().map_err(|_| anyhow!("the load generator panicked"))?
}

/// Keeps the calling thread on one core.
fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot use core {core}: the bench needs two"))
}

async fn generate(endpoint: &Endpoint, load: &Load, pid: u32) -> Result<Measured> {
    let mut connector = Connector::new(endpoint)?;
    // As nodes pull: a password at each request would be what is measured.
    if !matches!(load.job, Job::Push { .. }) {
        connector = connector.anonymous();
    }
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(connector.connect().await?);
    }
    let turn = Arc::new(AtomicU64::new(0));
    let before = measure::accounts(pid)?.cpu;
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(connection, load.clone(), turn.clone()));
    }
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    while let Some(worker) = workers.join_next().await {
        let (took, moved) = worker??;
        latencies.extend(took);
        bytes += moved;
    }
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), measure::accounts(pid)?.cpu - before);
    latencies.sort_by(f64::total_cmp);
    Ok(Measured { done: latencies.len() as u64, bytes, wall, cpu, latencies })
}

/// One connection's share.
async fn work(mut connection: Connection, load: Load, turn: Arc<AtomicU64>) -> Result<(Vec<f64>, u64)> {
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    let start = Instant::now();
    loop {
        let number = turn.fetch_add(1, Ordering::Relaxed);
        let over = match load.until {
            Until::Time(time) => start.elapsed() >= time,
            Until::Times(times) => number >= times,
        };
        if over {
            return Ok((latencies, bytes));
        }
        let begun = Instant::now();
        bytes += once(&mut connection, &load, number).await?;
        latencies.push(begun.elapsed().as_secs_f64());
    }
}

/// Does the job once; answers how many bytes that moved.
async fn once(connection: &mut Connection, load: &Load, number: u64) -> Result<u64> {
    match &load.job {
        Job::Ask { method, paths, bytes } => {
            let path = &paths[number as usize % paths.len()];
            let read = connection
                .read((method.clone(), path), accepting(), StatusCode::OK, |piece| {
                    std::hint::black_box(piece);
                })
                .await?;
            ensure!(bytes.is_none_or(|bytes| bytes == read), "{path}: {read} bytes and not {bytes:?}");
            Ok(read)
        }
        Job::OpenRange { path, size } => {
            let parts = load.connections as u64;
            let chunk = size / parts;
            let read = open_range(connection, path, (number % parts) * chunk, chunk).await?;
            connection.renew().await?;
            Ok(read)
        }
        Job::Push { repository, form, piece, times } => {
            let content = Content::repeated(unlike_any_other(number), piece.clone(), *times);
            let digest = content.digest();
            upload::blob(connection, repository, (&digest, &content), *form).await?;
            Ok(content.size())
        }
    }
}

/// distribution hides OCI manifests from whoever does not ask for them.
fn accepting() -> Ask {
    Ask::default().header("accept", "application/vnd.oci.image.manifest.v1+json")
}

/// Reads `wanted` bytes from `offset` of an answer that would go on to the end.
async fn open_range(connection: &mut Connection, path: &str, offset: u64, wanted: u64) -> Result<u64> {
    let ask = Ask::default().header("range", format!("bytes={offset}-"));
    let answer = connection.begin(Method::GET, path, ask).await?;
    ensure!(answer.status() == StatusCode::PARTIAL_CONTENT, "{path}: {} to an open-ended range", answer.status());
    let (mut body, mut read) = (answer.into_body(), 0);
    while read < wanted {
        let frame = body.frame().await.context("the answer ends too early")??;
        read += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(wanted)
}

/// The head of a blob that no registry has yet.
fn unlike_any_other(number: u64) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{number}/{}/", now.as_nanos()).into_bytes()
}
