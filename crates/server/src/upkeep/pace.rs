//! So many bytes in a second, and no more.

use std::time::Duration;

/// Says how long to wait after each piece.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes in a second.
    rate: u64,
    /// When what was read so far may be behind; on the clock that [`Pace::due`] is told.
    free: Duration,
}

impl Pace {
    /// `rate` bytes in a second; at least one.
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), free: Duration::ZERO }
    }

    /// How long to wait at `now`, after `bytes` were read. What was not used before is lost: no burst follows a pause.
    pub fn due(&mut self, bytes: u64, now: Duration) -> Duration {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.free = self.free.max(now).saturating_add(takes);
        self.free.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_piece_takes_as_long_as_the_rate_says() {
        let mut pace = Pace::new(1000);
        let second = Duration::from_secs;
        assert_eq!(pace.due(500, second(10)), Duration::from_millis(500));
        assert_eq!(pace.due(500, second(10)), second(1), "who does not wait waits longer");
        assert_eq!(pace.due(1000, second(60)), second(1), "a pause saves nothing up");
    }

    proptest! {
        #[test]
        fn whoever_waits_is_never_faster(rate in 1_u64..1 << 40, pieces in prop::collection::vec(0_u64..1 << 24, 1..50)) {
            let mut pace = Pace::new(rate);
            let mut now = Duration::ZERO;
            for piece in &pieces {
                now += pace.due(*piece, now);
            }
            let bytes: u64 = pieces.iter().sum();
            // A nanosecond is lost with each piece.
            let slack = Duration::from_nanos(pieces.len() as u64);
            prop_assert!((now + slack).as_secs_f64() * rate as f64 >= bytes as f64 * 0.999_999);
        }
    }
}
