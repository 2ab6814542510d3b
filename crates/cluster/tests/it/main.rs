//! Integration tests of the crate `cluster`: from a spec on disk to a plan.

mod fixture;
mod plan;
mod spec;
