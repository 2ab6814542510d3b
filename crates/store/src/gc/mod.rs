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
pub use report::{Amount, Garbage, GarbageState, Live, Missing, Outcome, Plan};
pub use roots::{Keeper, Root, RootKind};

pub(crate) use report::chain;

use std::collections::BTreeSet;

use sealock_trust::{Digest, KeySet};

use crate::error::StoreError;
use crate::liveness::Bound;
use crate::store::Store;

impl Store {
    /// What is garbage, and why, as far as one can know who gives no promises and knows of none. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan, StoreError> {
        Ok(plan::make(self, request, None)?.plan)
    }

    /// What the live releases of a site with `keys` need, and the store lacks: what there is to heal.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn wanted(&self, keys: &KeySet) -> Result<BTreeSet<Digest>, StoreError> {
        let planned = plan::make(self, &Request::new(keys, None, &Bound::new()), None)?;
        Ok(planned.plan.missing.into_iter().map(|missing| missing.digest).collect())
    }
}
