//! A run: what was condemned long enough goes, and what else nothing leads to is condemned.

use std::fs;

use jiff::Timestamp;
use sealock_trust::Digest;

use super::guard::{Guard, Run};
use super::plan::{self, Planned, Request};
use super::protocol::Tick;
use super::report::{Amount, GarbageState, Outcome, Plan};
use crate::durable::sync_folder;
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::layout::ALGORITHMS;
use crate::lock::StoreLock;
use crate::operations::Operation;
use crate::reserve::{self, with_room};
use crate::store::Store;

/// Blobs that are named in one record; the longest digests of so many fit into one.
const BATCH: usize = 400;

/// Whoever collects: what it has promised, and what time it is.
#[derive(Clone, Copy)]
pub struct Collector<'a> {
    /// The store.
    pub store: &'a Store,
    /// What was promised, and what is condemned.
    pub guard: &'a Guard,
    /// The time on the guard's clock.
    pub clock: &'a dyn Fn() -> Tick,
    /// For how long a blob stays condemned before it is deleted, in seconds.
    pub grace: Tick,
    /// The time for the log.
    pub at: Timestamp,
    /// Whether to end early; what is done then is done.
    pub stop: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Collector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("store", &self.store).field("at", &self.at).finish_non_exhaustive()
    }
}

/// What a plan depends on beside blobs: where it is another one, the plan is made anew.
#[derive(PartialEq, Eq)]
struct Fingerprint {
    current: Option<u64>,
    log: u64,
    holds: usize,
}

impl Collector<'_> {
    /// Says what a run would do now. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan, StoreError> {
        // A run would have the next epoch, in which everything that is condemned by now is older.
        Ok(self.make(request, u64::MAX)?.plan)
    }

    /// Retires what retention lets go, deletes what was condemned long enough, and condemns the rest of the garbage. Where
    /// it is in doubt what is garbage, nothing is retired, deleted or condemned.
    ///
    /// Cut off anywhere, nothing is lost that somebody needs, and the same call finishes the work.
    ///
    /// # Errors
    /// [`StoreError::Locked`] at once where an import runs.
    pub fn collect(&self, request: &Request<'_>) -> Result<Outcome, StoreError> {
        let epoch = self.guard.begin();
        // The long part, beside imports: whether one came between shows under the lock.
        let before = self.fingerprint()?;
        let planned = self.make(request, epoch)?;
        let lock = self.store.lock()?;
        let Planned { mut plan, kept } =
            if self.fingerprint()? == before { planned } else { self.make(request, epoch)? };
        if !plan.doubts.is_empty() {
            return Ok(Outcome { plan, ..Outcome::default() });
        }
        for number in &plan.retire {
            with_room(&self.store.layout, || lock.retire(*number, self.at))?;
        }
        self.guard.pardon(|digest| kept.contains_key(digest), (self.clock)());
        let deleted = self.delete_due(&lock, &plan, epoch)?;
        let condemned = self.condemn(&mut plan, epoch);
        lock.settle_lenders()?;
        // Only after room was made is there room to set aside.
        reserve::make(&self.store.layout);
        Ok(Outcome { plan, condemned, deleted })
    }

    fn make(&self, request: &Request<'_>, epoch: u64) -> Result<Planned, StoreError> {
        plan::make(self.store, request, Some((self.guard, self.run(epoch))))
    }

    fn run(&self, epoch: u64) -> Run {
        Run { epoch, now: (self.clock)(), grace: self.grace }
    }

    fn fingerprint(&self) -> Result<Fingerprint, StoreError> {
        let log = self.store.layout.operations();
        let log = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let holds = self.store.layout.holds();
        let holds = fs::read_dir(&holds).during("read", &holds)?.count();
        Ok(Fingerprint { current: self.store.current_number()?, log, holds })
    }

    fn delete_due(&self, lock: &StoreLock, plan: &Plan, epoch: u64) -> Result<Amount, StoreError> {
        let is_due = |digest: &Digest| self.guard.may_delete(digest, self.run(epoch));
        let due: Vec<_> = plan.garbage.iter().filter(|garbage| is_due(&garbage.digest)).collect();
        let mut deleted = Amount::default();
        for batch in due.chunks(BATCH) {
            if (self.stop)() {
                break;
            }
            let blobs = batch.iter().map(|garbage| garbage.digest.clone()).collect::<Vec<_>>();
            let announce = || lock.record(self.at, Operation::Collect { blobs: blobs.clone() });
            with_room(&self.store.layout, announce)?;
            let known = self.store.lenders.known(&self.store.layout)?;
            for garbage in batch {
                // No bundle lends it any more before its file goes: it must not come back by that.
                let withdraw = || lock.withdraw(&known, &garbage.digest);
                let unlink = || {
                    with_room(&self.store.layout, withdraw)?;
                    remove(&self.store.blob_path(&garbage.digest))
                };
                if self.guard.delete(&garbage.digest, self.run(epoch), unlink)? {
                    deleted.add(garbage.size);
                }
            }
            for algorithm in ALGORITHMS {
                sync_folder(&self.store.layout.blobs().join(algorithm.as_str()))?;
            }
        }
        if deleted.blobs > 0 {
            let done = || lock.record(self.at, Operation::Collected { blobs: deleted.blobs, bytes: deleted.bytes });
            with_room(&self.store.layout, done)?;
        }
        Ok(deleted)
    }

    /// Condemns what is left, and says in the plan how far each blob is now.
    fn condemn(&self, plan: &mut Plan, epoch: u64) -> Amount {
        let mut condemned = Amount::default();
        for garbage in plan.garbage.iter_mut().filter(|garbage| garbage.state != GarbageState::Due) {
            let now = (self.clock)();
            if self.guard.condemn(&garbage.digest, epoch, now) {
                garbage.state = GarbageState::Condemned;
                condemned.add(garbage.size);
            } else {
                garbage.state = GarbageState::Promised;
            }
        }
        condemned
    }
}

/// A blob that is gone already was deleted by a run that was cut off.
fn remove(path: &std::path::Path) -> Result<(), StoreError> {
    match failpoint::hit("delete blob").and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => Ok(()),
    }
}
