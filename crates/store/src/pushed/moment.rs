//! When something happens.

use std::time::Instant;

use jiff::Timestamp;

/// A point in time, by both clocks: the one on the wall, which a person may set, and the one that only runs forward.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For records.
    pub wall: Timestamp,
    /// For leases: whoever sets the clock ends none.
    pub ticks: Instant,
}
