//! Waiting for something, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Asks `check` every `interval` until it answers, or until `timeout` has passed: then nothing.
pub(crate) fn until<T, E>(
    timeout: Duration,
    interval: Duration,
    mut check: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = check()? {
            return Ok(Some(answer));
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        pause((deadline - now).min(interval));
    }
}

/// Lets `duration` pass.
pub(crate) fn pause(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
