//! Locks and bundles made from real upstreams on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;
mod discovery;
mod gpg;
mod notation;
mod os_packages;
mod programs;
mod referrers;
mod resolve;
mod sboms;
mod signatures;
mod world;
