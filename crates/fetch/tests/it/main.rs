//! Locks and bundles made from real upstreams on loopback.

mod build;
mod resolve;
mod signatures;
mod world;
