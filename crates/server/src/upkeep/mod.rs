//! Keeps the store clean and whole while it is served: collects garbage, looks for rot, and migrates what bundles lend, on three
//! threads that do little else.

mod migrate;
mod pace;

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sealock_store::gc::{Collector, Guard, Outcome, Plan, Request};
use sealock_store::scrub::{Rotten, Scrub, Scrubbed};
use sealock_store::{Bound, StoreError};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

pub use pace::Pace;

use crate::bound::bound;
use crate::clock::ticks;
use crate::config::UpkeepPolicy;
use crate::revoked::RevokedError;
use crate::state::State;

/// Between two looks whether a blob is due to be hashed again.
const SCRUB_LOOK: Duration = Duration::from_secs(600);

/// What somebody asks of the collector of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Only say what would be done.
    pub dry_run: bool,
    /// For how long blobs stay condemned, in seconds; as the server was told where there is nothing.
    pub grace: Option<u64>,
    /// How many releases are retained beside the current one; as the server was told where there is nothing.
    pub retain: Option<u64>,
}

/// The server's part in keeping the store.
#[derive(Debug)]
pub(crate) struct Upkeep {
    state: Arc<State>,
    policy: UpkeepPolicy,
    guard: Arc<Guard>,
    /// One collection at a time.
    collecting: Mutex<()>,
    /// One migration at a time.
    migrating: Mutex<()>,
    signals: Mutex<Signals>,
    woken: Condvar,
}

/// What the threads are told while they wait.
#[derive(Debug, Default)]
struct Signals {
    stopping: bool,
    /// How many wait for a migration to end.
    hurrying: usize,
}

impl Upkeep {
    /// Nothing where this process may not write the store, or another one keeps it already: then it only serves.
    pub(crate) fn begin(state: &Arc<State>, policy: UpkeepPolicy) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            state: state.clone(),
            policy,
            guard: state.keeping()?.clone(),
            collecting: Mutex::new(()),
            migrating: Mutex::new(()),
            signals: Mutex::default(),
            woken: Condvar::new(),
        }))
    }

    /// Starts the threads; they end soon after [`Upkeep::stop`].
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let spawn = |name: &str, work: fn(&Self)| {
            let upkeep = self.clone();
            thread::Builder::new().name(name.to_owned()).spawn(move || work(&upkeep))
        };
        Ok(vec![
            spawn("collect", Self::collect_for_ever)?,
            spawn("scrub", Self::scrub_for_ever)?,
            spawn("migrate", Self::migrate_for_ever)?,
        ])
    }

    /// Ends what runs, at the next blob.
    pub(crate) fn stop(&self) {
        lock(&self.signals).stopping = true;
        self.woken.notify_all();
    }

    /// Carries out what was asked for.
    ///
    /// # Errors
    /// [`RevokedError`]: an import runs, or it is not known what clusters need.
    pub(crate) fn collect(&self, asked: Collect) -> Result<Outcome, RevokedError> {
        let _one = lock(&self.collecting);
        let bound = self.policy.clusters.as_deref().map_or_else(|| Ok(Bound::new()), bound)?;
        let in_use = || -> Vec<Digest> { self.state.view().current_digests().cloned().collect() };
        let request = Request {
            keys: self.state.site_keys(),
            retain: asked.retain.or(self.policy.retain),
            bound: &bound,
            pushed: Some(&|| self.state.snapshot()),
            in_use: &in_use,
        };
        let collector = Collector {
            store: self.state.store(),
            guard: self.guard.as_ref(),
            clock: &ticks,
            grace: asked.grace.unwrap_or(self.policy.grace.as_secs()),
            at: self.now(),
            stop: &|| lock(&self.signals).stopping,
        };
        if asked.dry_run {
            let plan: Plan = collector.plan(&request)?;
            return Ok(Outcome { plan, ..Outcome::default() });
        }
        self.let_go();
        let outcome = collector.collect(&request)?;
        if !outcome.plan.retire.is_empty() {
            // What was retired is served no more.
            self.state.reload()?;
        }
        for doubt in &outcome.plan.doubts {
            tracing::error!(doubt, "it is in doubt what is garbage: nothing is deleted");
        }
        let (deleted, condemned) = (outcome.deleted, outcome.condemned);
        tracing::info!(
            deleted = deleted.blobs,
            bytes = deleted.bytes,
            condemned = condemned.blobs,
            "collected garbage"
        );
        Ok(outcome)
    }

    /// Repositories let go of blobs that were pushed and never used.
    fn let_go(&self) {
        let Some(pushed) = self.state.pushed() else { return };
        match pushed.let_go(self.state.clock().moment()) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "blobs that no manifest came for were let go of"),
            Err(error) => tracing::error!(%error, "blobs that no manifest came for cannot be let go of"),
        }
    }

    fn collect_for_ever(&self) {
        let Some(every) = self.policy.collect_every else { return };
        while !self.waits(every) {
            let asked = Collect { dry_run: false, grace: None, retain: None };
            match self.collect(asked) {
                Ok(_) => {}
                // The next turn comes.
                Err(RevokedError::Store(StoreError::Locked { .. })) => tracing::info!("an import runs; garbage waits"),
                Err(error) => tracing::error!(%error, "garbage cannot be collected"),
            }
        }
    }

    fn scrub_for_ever(&self) {
        let Some(rate) = self.policy.scrub_rate else { return };
        while !self.waits(SCRUB_LOOK.min(self.policy.scrub_every)) {
            match self.scrub(rate) {
                Ok(scrubbed) => {
                    for Rotten { digest, problem, .. } in scrubbed.rotten {
                        tracing::error!(%digest, problem, "a blob has rotted: heal it");
                    }
                }
                Err(error) => tracing::error!(%error, "the store cannot be looked through for rot"),
            }
        }
    }

    fn scrub(&self, rate: u64) -> Result<Scrubbed, StoreError> {
        let (begun, mut pace) = (Instant::now(), Pace::new(rate));
        let mut wait = |bytes: u64| {
            let due = pace.due(bytes, begun.elapsed());
            if self.waits(due) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let every = SignedDuration::try_from(self.policy.scrub_every).unwrap_or(SignedDuration::MAX);
        let before = self.now().checked_sub(every).ok();
        let guard = Some(self.guard.as_ref());
        Scrub { store: self.state.store(), guard, clock: &|| self.now(), before, pace: &mut wait }.run()
    }

    /// To the second: finer times would only make the log longer.
    fn now(&self) -> Timestamp {
        let now = self.state.clock().now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Waits so long, or until the server ends. Returns whether it does.
    fn waits(&self, duration: Duration) -> bool {
        self.waits_unless(duration, |_| false)
    }

    /// As [`Upkeep::waits`], or until `is_enough`.
    fn waits_unless(&self, duration: Duration, is_enough: impl Fn(&Signals) -> bool) -> bool {
        let goes_on = |signals: &mut Signals| !signals.stopping && !is_enough(signals);
        let waited = self.woken.wait_timeout_while(lock(&self.signals), duration, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
