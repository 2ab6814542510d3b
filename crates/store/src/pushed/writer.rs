//! The one writer: takes what waits, decides it in order, and makes it durable together.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use redb::Durability;

use super::change::Change;
use super::error::PushError;
use super::index::Index;
use super::log::{Batch, LARGEST_BATCH, Log, LogError, Position};
use super::record::Record;
use super::rows::{Row, rows};
use super::snapshot::Snapshot;
use crate::error::{IoContext, StoreError};
use crate::failpoint;

/// After so many records the index is made durable.
const INDEX_EVERY: u64 = 1024;

/// The writing end. Ends, with its thread, when it is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<Sender<Wish>>>,
    thread: Option<JoinHandle<()>>,
}

/// What became of a change.
type Outcome = Result<Record, PushError>;

/// A change that somebody waits for.
struct Wish {
    at: Timestamp,
    principal: Option<String>,
    change: Change,
    answer: SyncSender<Outcome>,
}

/// What the thread works with.
pub(crate) struct Desk {
    pub(crate) log: Log,
    /// None once it failed: it will be made anew at the next start.
    pub(crate) index: Option<Index>,
    pub(crate) state: Snapshot,
    pub(crate) published: Arc<ArcSwap<Snapshot>>,
    pub(crate) folder: PathBuf,
    /// The record up to which the index is durable.
    pub(crate) indexed: u64,
    /// Whether it is unknown what the log holds.
    pub(crate) broken: bool,
}

impl Writer {
    pub(crate) fn start(desk: Desk) -> Result<Self, PushError> {
        let (queue, wishes) = mpsc::channel();
        let folder = desk.folder.clone();
        let passed_on = failpoint::shared();
        let work = move || {
            failpoint::inherit(passed_on);
            desk.run(&wishes);
        };
        let thread = thread::Builder::new().name("store-pushed".into()).spawn(work);
        let thread = thread.during("start a thread for", &folder)?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Has `change` decided, and returns its record once that is durable.
    pub(crate) fn submit(&self, at: Timestamp, principal: Option<&str>, change: Change) -> Outcome {
        let (answer, answered) = mpsc::sync_channel(1);
        let wish = Wish { at, principal: principal.map(str::to_owned), change, answer };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = queue.is_some_and(|queue| queue.send(wish).is_ok());
        match answered.recv() {
            Ok(result) if sent => result,
            _ => Err(PushError::Broken),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of pushed content ended early");
        }
    }
}

/// What one batch comes to, so far.
struct Pending {
    batch: Batch,
    state: Snapshot,
    rows: Vec<Row>,
    answers: Vec<(SyncSender<Outcome>, Outcome)>,
}

impl Desk {
    fn run(mut self, wishes: &Receiver<Wish>) {
        while let Ok(wish) = wishes.recv() {
            let mut pending = self.pending();
            pending.decide(wish);
            while pending.batch.len() < LARGEST_BATCH
                && let Ok(wish) = wishes.try_recv()
            {
                pending.decide(wish);
            }
            self.carry_out(pending);
        }
        if let Some(position) = self.log.position() {
            self.update_index(&[], &position, Durability::Immediate);
        }
    }

    fn pending(&self) -> Pending {
        Pending { batch: self.log.batch(), state: self.state.clone(), rows: Vec::new(), answers: Vec::new() }
    }

    /// Makes the batch durable, then visible, then known to those who wait.
    fn carry_out(&mut self, pending: Pending) {
        let Pending { batch, state, rows, answers } = pending;
        let outcome = match (batch.is_empty(), self.broken) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::Broken),
            (false, false) => self.append(batch, &rows).map(|()| {
                self.published.store(Arc::new(state.clone()));
                self.state = state;
            }),
        };
        for (answer, result) in answers {
            let result = match (&outcome, result) {
                (Err(failure), Ok(_)) => Err(failure.to_error()),
                (_, result) => result,
            };
            // Whoever waited may have gone away.
            let _ = answer.send(result);
        }
    }

    fn append(&mut self, batch: Batch, rows: &[Row]) -> Result<(), Failure> {
        match self.log.append(batch) {
            Ok(Some(position)) => {
                let is_due = position.number >= self.indexed + INDEX_EVERY;
                let durability = if is_due { Durability::Immediate } else { Durability::None };
                self.update_index(rows, &position, durability);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(LogError::Unchanged(error)) => {
                tracing::error!(%error, "the log of pushed content was not written");
                Err(Failure::of(error))
            }
            Err(LogError::Unknown(error)) => {
                tracing::error!(%error, "the log of pushed content may hold what nobody was told of; no more is pushed");
                self.broken = true;
                Err(Failure::of(error))
            }
        }
    }

    /// A failure costs the index, and nothing else: the log has it all.
    fn update_index(&mut self, rows: &[Row], position: &Position, durability: Durability) {
        let Some(index) = &self.index else { return };
        match index.apply(rows, position, durability) {
            Ok(()) if matches!(durability, Durability::Immediate) => self.indexed = position.number,
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "the index of pushed content failed; the next start reads more of the log");
                self.index = None;
            }
        }
    }
}

impl Pending {
    fn decide(&mut self, wish: Wish) {
        let Wish { at, principal, change, answer } = wish;
        let decided = change.decide(&self.state).and_then(|operation| self.batch.add(at, principal, operation));
        if let Ok(record) = &decided {
            for row in rows(record) {
                self.state.set(row.clone(), change.manifest());
                self.rows.push(row);
            }
        }
        self.answers.push((answer, decided));
    }
}

/// Why a batch failed, for each of those who wait.
enum Failure {
    Broken,
    Io { is_full: bool, action: &'static str, path: PathBuf, kind: io::ErrorKind, number: Option<i32> },
}

impl Failure {
    fn of(error: StoreError) -> Self {
        let is_full = matches!(error, StoreError::DiskFull { .. });
        match error {
            StoreError::DiskFull { action, path, source } | StoreError::Io { action, path, source } => {
                Self::Io { is_full, action, path, kind: source.kind(), number: source.raw_os_error() }
            }
            _ => Self::Broken,
        }
    }

    fn to_error(&self) -> PushError {
        match self {
            Self::Broken => PushError::Broken,
            Self::Io { is_full, action, path, kind, number } => {
                let (action, path) = (*action, path.clone());
                let source = number.map_or_else(|| (*kind).into(), io::Error::from_raw_os_error);
                PushError::Store(match is_full {
                    true => StoreError::DiskFull { action, path, source },
                    false => StoreError::Io { action, path, source },
                })
            }
        }
    }
}
