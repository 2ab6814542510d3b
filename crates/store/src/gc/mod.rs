//! The garbage collector: what no live release, no hold, nothing that was pushed and no promise leads to, goes.
//!
//! A full [`plan`](Collector::plan) comes first. A [run](Collector::collect) condemns, and a later one deletes, by the
//! [`protocol`]. A server keeps its [`Guard`] for as long as it runs; without one, [`Offline`] writes down what is condemned.

mod collect;
mod guard;
mod mark;
#[cfg(test)]
mod model;
mod offline;
mod plan;
pub mod protocol;
#[cfg(test)]
mod races;
mod report;
mod roots;
mod sync;

pub use collect::Collector;
pub use guard::{Guard, Pin};
pub use offline::{Moment, Offline, Serving};
pub use plan::Request;
pub use report::{Amount, Garbage, GarbageState, Live, Outcome, Plan};
pub use roots::{Keeper, Root, RootKind};

pub(crate) use mark::blobs;
pub(crate) use report::chain;
