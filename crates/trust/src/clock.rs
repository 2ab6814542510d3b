//! The site's time: its clock, held against the times that others have signed.

use jiff::{SignedDuration, Timestamp};

/// How far ahead of the time floor a clock is believed without a word from the operator.
pub const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What a site takes as now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteTime {
    clock: Timestamp,
    floor: Option<Timestamp>,
}

impl SiteTime {
    /// The time by `clock`, which never runs behind `floor`.
    pub fn new(clock: Timestamp, floor: Option<Timestamp>) -> Self {
        Self { clock, floor }
    }

    /// What the clock says.
    pub fn clock(self) -> Timestamp {
        self.clock
    }

    /// The clock, or the floor where the clock is behind it.
    pub fn now(self) -> Timestamp {
        self.floor.map_or(self.clock, |floor| floor.max(self.clock))
    }

    /// The floor, where the clock is behind it.
    pub fn behind(self) -> Option<Timestamp> {
        self.floor.filter(|floor| *floor > self.clock)
    }

    /// The floor, where the clock is so far ahead of it that nothing may expire by it silently.
    pub fn far_ahead(self) -> Option<Timestamp> {
        let is_far = |floor: &Timestamp| floor.saturating_add(FAR_AHEAD).is_ok_and(|bound| self.clock > bound);
        self.floor.filter(is_far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &str) -> SiteTime {
        SiteTime::new(clock.parse().unwrap(), Some("2026-11-20T00:00:00Z".parse().unwrap()))
    }

    #[test]
    fn a39_a_clock_behind_the_floor_is_passed_over() {
        let floor = "2026-11-20T00:00:00Z".parse().unwrap();
        for clock in ["1970-01-01T00:00:00Z", "2026-11-19T23:59:59Z"] {
            assert_eq!((at(clock).now(), at(clock).behind(), at(clock).far_ahead()), (floor, Some(floor), None));
        }
        let ahead = at("2026-12-01T00:00:00Z");
        assert_eq!((ahead.now(), ahead.behind()), ("2026-12-01T00:00:00Z".parse().unwrap(), None));
    }

    #[test]
    fn a39_a_clock_far_ahead_of_the_floor_is_told_from_one_that_is_not() {
        assert_eq!(at("2027-05-19T00:00:00Z").far_ahead(), None);
        assert!(at("2027-05-19T00:00:01Z").far_ahead().is_some());
        assert!(at("2076-11-20T00:00:00Z").far_ahead().is_some());
        assert_eq!(SiteTime::new(Timestamp::MAX, None).far_ahead(), None);
    }
}
