//! Sealock trust: says what is genuine. Digests, keys, roles and thresholds, signatures, rollback state.
//!
//! This crate opens no socket and reads no clock: time is an argument.

pub mod digest;
pub mod reason;

pub use digest::{Algorithm, Digest, Hasher};
