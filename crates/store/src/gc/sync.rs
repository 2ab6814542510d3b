//! The locks of the garbage collector: those of the standard library, or, in this crate's own tests, those of a scheduler that
//! tries out every order it can.

#[cfg(test)]
pub(super) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};
