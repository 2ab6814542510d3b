//! How the server is: whether it could read what it should serve, and whether there is room.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// What health, readiness and alarms are made of.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Why the current release could not be read when that was last tried.
    fault: ArcSwapOption<String>,
    /// Free bytes on the filesystem of the store, as last seen.
    free: AtomicU64,
    is_low: AtomicBool,
    headroom: u64,
}

impl Condition {
    pub(crate) fn new(headroom: u64) -> Self {
        Self { fault: ArcSwapOption::empty(), free: AtomicU64::new(u64::MAX), is_low: AtomicBool::new(false), headroom }
    }

    /// Keeps how reading the current release ended.
    pub(crate) fn reloaded<T, E: Error>(&self, outcome: &Result<T, E>) {
        self.fault.store(outcome.as_ref().err().map(|error| Arc::new(error.to_string())));
    }

    /// Why what is served may be older than what was published.
    pub(crate) fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// Keeps the free bytes, and says so where there begins or ends to be too little room.
    pub(crate) fn measured(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
        let is_low = free < self.headroom;
        if self.is_low.swap(is_low, Ordering::Relaxed) == is_low {
            return;
        }
        if is_low {
            tracing::error!(free, wanted = self.headroom, "the filesystem of the store is nearly full");
        } else {
            tracing::info!(free, "the filesystem of the store has room again");
        }
    }

    /// Whether there is too little room.
    pub(crate) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Free bytes as last seen; none before the first look.
    pub(crate) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Relaxed)).filter(|free| *free != u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_fault_lasts_until_a_reload_works() {
        let condition = Condition::new(0);
        condition.reloaded(&Err::<(), _>(io::Error::other("damaged")));
        assert_eq!(condition.fault().as_deref().map(String::as_str), Some("damaged"));
        condition.reloaded(&Ok::<_, io::Error>(()));
        assert_eq!(condition.fault(), None);
    }

    #[test]
    fn room_is_low_below_the_headroom_only() {
        let condition = Condition::new(100);
        assert_eq!((condition.free(), condition.is_low()), (None, false));
        condition.measured(99);
        assert_eq!((condition.free(), condition.is_low()), (Some(99), true));
        condition.measured(100);
        assert!(!condition.is_low());
    }
}
