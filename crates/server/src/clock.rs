//! What time it is: by the clock on the wall, which somebody may turn while the server runs, and by one that only runs forward.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use jiff::Timestamp;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use sealock_store::gc::protocol::Tick;
use sealock_store::pushed::Moment;

/// From when on the ticks are counted.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds on a clock that only runs forward: what was promised for a while is measured by it.
pub(crate) fn ticks() -> Tick {
    BEGINNING.elapsed().as_secs()
}

/// The clock on the wall. Expiry of credentials, the days between two looks for rot and the times in logs go by it; what is
/// live, what is garbage and what was promised never does.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `read` answers, which may jump in both directions.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Now, by both clocks.
    pub(crate) fn moment(&self) -> Moment {
        Moment { wall: self.now(), ticks: ticks() }
    }
}

impl Default for Clock {
    /// The clock of the machine.
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl TimeProvider for Clock {
    /// None before 1970: then no certificate is believed.
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = self.now().duration_since(Timestamp::UNIX_EPOCH);
        since_epoch.try_into().ok().map(UnixTime::since_unix_epoch)
    }
}
