//! When something happens.

use jiff::Timestamp;

use crate::gc::protocol::Tick;

/// A point in time, by both clocks: the one on the wall, which a person may set, and the one that only runs forward.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For records.
    pub wall: Timestamp,
    /// For promises, on the clock of the [`Guard`](crate::gc::Guard): whoever sets the clock on the wall ends none.
    pub ticks: Tick,
}
