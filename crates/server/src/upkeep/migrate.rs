//! Moves into the store what bundles lend that were imported in place: slowly, and at once where somebody asks.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sealock_store::StoreError;
use sealock_store::lent::{Migrated, Migration};

use super::{Pace, Upkeep, lock};

/// Until a disk without room, or one that fails, is looked at again.
const LATER: Duration = Duration::from_secs(600);

impl Upkeep {
    /// Migrates all that is lent, as fast as the disk can.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process migrates; [`StoreError::Io`].
    pub(crate) fn migrate_at_once(&self) -> Result<Migrated, StoreError> {
        // A pass that is under way hurries, too.
        lock(&self.signals).hurrying += 1;
        self.woken.notify_all();
        let migrated = self.migrate(&mut |_| match lock(&self.signals).stopping {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        lock(&self.signals).hurrying -= 1;
        migrated
    }

    pub(super) fn migrate_for_ever(&self) {
        let Some(rate) = self.policy.migrate_rate else { return };
        let mut wait = self.policy.migrate_every;
        while !self.waits(wait) {
            wait = self.policy.migrate_every;
            match self.migrate_slowly(rate) {
                Ok(migrated) if migrated.no_room => {
                    tracing::warn!(bytes = migrated.left.bytes, "there is no room to migrate what bundles lend");
                    wait = wait.max(LATER);
                }
                Ok(_) => {}
                Err(StoreError::Locked { .. }) => tracing::debug!("another process migrates what bundles lend"),
                Err(error) => {
                    tracing::error!(%error, "what bundles lend cannot be migrated");
                    wait = wait.max(LATER);
                }
            }
        }
    }

    fn migrate_slowly(&self, rate: u64) -> Result<Migrated, StoreError> {
        let (begun, mut pace) = (Instant::now(), Pace::new(rate));
        self.migrate(&mut |bytes| {
            let due = pace.due(bytes, begun.elapsed());
            let is_stopping = self.waits_unless(due, |signals| signals.hurrying > 0);
            if is_stopping { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn migrate(&self, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Migrated, StoreError> {
        let _one = lock(&self.migrating);
        let (store, guard) = (self.state.store(), Some(self.guard.as_ref()));
        let migration = Migration { store, guard, clock: &|| self.now(), headroom: self.policy.migrate_headroom, pace };
        let migrated = migration.run()?;
        for rotten in &migrated.rotten {
            tracing::error!(digest = %rotten.digest, problem = rotten.problem, "a blob has rotted in its bundle: heal it");
        }
        if migrated.moved.blobs > 0 || migrated.bundles > 0 {
            let (moved, bundles) = (migrated.moved, migrated.bundles);
            tracing::info!(moved = moved.blobs, bytes = moved.bytes, bundles, "migrated what bundles lent");
        }
        Ok(migrated)
    }
}
