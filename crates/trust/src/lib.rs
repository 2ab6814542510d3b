//! Sealock trust: says what is genuine. Digests, keys, roles and thresholds, signatures, rollback state.
//!
//! This crate opens no socket and reads no clock: time is an argument.

pub mod digest;
pub mod dsse;
pub mod durable;
pub mod json;
pub mod key;
pub mod reason;
pub mod role;
pub mod signer;
mod spki;

pub use digest::{Algorithm, Digest, Hasher};
pub use key::{KeyId, PublicKey};
pub use role::{KeySet, Role};
pub use signer::{FileKey, Passphrase, Scheme, Signer};
