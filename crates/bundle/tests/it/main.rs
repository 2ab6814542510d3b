//! The crate as a whole: bundles built, signed, attacked, read by others' tools, and imported.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attacks;
mod build;
mod convert;
mod cost;
mod crash;
mod delta;
mod diff;
mod hostile_tar;
mod imports;
mod in_place;
mod memory;
mod os_packages;
mod patches;
mod readers;
mod revocations;
mod specs;
mod support;
mod update;
mod vectors;
mod vendors;
mod volumes;
mod volumes_cost;
mod volumes_crash;
mod volumes_properties;
