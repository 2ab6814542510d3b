//! Sealock trust: says what is genuine. Digests, keys, roles and thresholds, signatures, rollback state.
//!
//! This crate opens no socket and reads no clock: time is an argument.

pub mod attestation;
pub mod break_glass;
pub mod clock;
pub mod digest;
pub mod directory;
pub mod dsse;
pub mod durable;
pub mod format;
pub mod json;
pub mod key;
pub mod names;
pub mod reason;
pub mod receipt;
pub mod request;
pub mod resolution;
pub mod revocation;
pub mod role;
pub mod signer;
pub mod site;
mod spki;
pub mod statement;
pub mod token;
pub mod tuf;
mod utc;

pub use digest::{Algorithm, Digest, Hasher};
pub use directory::TrustDirectory;
pub use key::{KeyId, PublicKey};
pub use names::{Justification, NamePrefix, RoleName, SiteId, StreamName, StreamPrefix};
pub use receipt::Receipt;
pub use role::{KeySet, Role};
pub use signer::{FileKey, Passphrase, Scheme, Signer};
pub use site::{SiteKeys, SiteRoot};
