//! The store from outside: what importers and servers do with it, and what they find after something went wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by them")]

mod check;
mod disk_full;
mod dying;
mod faults;
mod gc;
mod gc_full;
mod lent;
mod lent_crash;
mod loan;
mod publish;
mod pushed;
mod scrub;
mod shelf;
mod site;
mod staging;
mod stores;
