//! The garbage collector: what no live release, no hold, no manifest that was pushed and no promise leads to, goes.

mod guard;
#[cfg(test)]
mod model;
pub mod protocol;
#[cfg(test)]
mod races;
mod sync;

pub use guard::{Guard, Pin};
