//! A writer that does not know what its log holds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealock_store::pushed::PushError;
use sealock_store::{StoreError, failpoint};

use super::support::*;

#[test]
fn after_a_failed_sync_of_the_log_nothing_more_is_written_until_the_next_start() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = armed.clone();
    failpoint::set_shared(Arc::new(move |step| {
        if step == "sync pushed log" && is_armed.swap(false, Ordering::SeqCst) {
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    }));
    let pushed = world.open();
    armed.store(true, Ordering::SeqCst);
    let error = blob(&pushed, "a", b"layer").unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::Io { .. })), "{error:?}");
    assert!(pushed.snapshot().repository("a").is_none());
    assert!(matches!(blob(&pushed, "a", b"layer"), Err(PushError::Broken)));
    drop(pushed);
    failpoint::set_shared(Arc::new(|_| Ok(())));
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    check(&world.store(), &pushed.snapshot());
}
