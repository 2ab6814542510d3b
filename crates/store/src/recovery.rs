//! Settles what a writer left behind when it was cut off. Runs whenever the lock is taken.

use std::fs;
use std::path::Path;

use crate::current::current_number;
use crate::durable::{TEMPORARY, remove_if_there, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::lent::put_away;
use crate::lock::StoreLock;
use crate::operations::{self, Operation, Record};
use crate::reserve::with_room;

pub(crate) fn run(lock: &StoreLock) -> Result<(), StoreError> {
    remove_temporaries(&lock.layout().root)?;
    remove_temporaries(&lock.layout().releases())?;
    remove_temporaries(&lock.layout().holds())?;
    operations::write_again(&lock.layout().operations())?;
    settle_publish(lock)
}

/// A publish without an outcome in the log: `current` tells whether it happened.
fn settle_publish(lock: &StoreLock) -> Result<(), StoreError> {
    let Some(last) = operations::last(&lock.layout().operations())? else { return Ok(()) };
    let Operation::Publish { release, .. } = last.operation else { return Ok(()) };
    if current_number(lock.layout())? == Some(release) {
        // Whoever switched may have ended before that was durable: or else a power loss could take it back, and the log would not know.
        sync_folder(&lock.layout().root)?;
        return settle(lock, &last, &Operation::Published { release });
    }
    tracing::info!(release, "publishing was cut off before the release became current; it is undone");
    remove_if_there(&lock.layout().release(release))?;
    // Before the log says so: or else a power loss could bring it back, and nobody would know whose it is.
    sync_folder(&lock.layout().releases())?;
    // Before that is told, so that it is done again where this is cut off, too.
    put_away(lock)?;
    settle(lock, &last, &Operation::Abandoned { release })
}

/// An import that a full disk cut off must not keep the collector from making room.
fn settle(lock: &StoreLock, last: &Record, outcome: &Operation) -> Result<(), StoreError> {
    with_room(lock.layout(), || lock.record(last.at, outcome.clone()))
}

fn remove_temporaries(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).during("read", folder)? {
        let path = entry.during("read", folder)?.path();
        if path.to_string_lossy().ends_with(TEMPORARY) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}
