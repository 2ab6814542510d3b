//! Sealock store: keeps bytes: content-addressed blobs, staging, releases, pushed content.
//!
//! The formats are in `docs/formats/store.md`, `release.md`, `operation-log.md` and `pushed-log.md`. Readers ([`Store`]) need no lock.
//! Writers take [`Store::lock`], write blobs through [`StoreLock::staging`] and make them servable by
//! [`StoreLock::publish`]. Every change is durable when its call returns, and may be cut off anywhere.
//! What is pushed to a registry goes through [`pushed::Pushed`], which one process holds.

mod blob;
mod blob_writer;
pub mod check;
pub mod closure;
mod current;
mod durable;
mod error;
pub mod failpoint;
pub mod gc;
mod hold;
mod layout;
pub mod lent;
mod liveness;
mod lock;
pub mod oci;
pub mod operations;
mod publish;
pub mod pushed;
mod recovery;
pub mod release;
mod reserve;
pub mod scrub;
mod staging;
pub mod status;
mod store;
mod sync;

pub use blob::Blob;
pub use blob_writer::BlobWriter;
pub use error::StoreError;
pub use liveness::{Bound, Standing};
pub use lock::StoreLock;
pub use release::{Published, Release};
pub use staging::Staging;
pub use store::Store;
