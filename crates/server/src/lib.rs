//! Sealock server: listens: the site registry.
//!
//! The current release of a [`sealock_store::Store`] as an OCI registry (distribution specification 1.1, pull only) over
//! TLS. What can be pulled is what hangs on the references of the release, and nothing else; the registry never proxies.

mod condition;
mod config;
pub mod control;
mod error;
mod http;
mod listen;
pub mod manifest;
mod notify;
mod observe;
pub mod revoked;
mod serve;
mod state;
pub mod tls;
pub mod unit;
mod view;

pub use config::{Limits, RevocationSource, ServeConfig, TlsFiles};
pub use error::{ServeError, TlsError};
pub use serve::{Server, serve};
pub use view::ClosureError;

/// A release in a sentence.
fn describe(release: Option<u64>) -> String {
    release.map_or_else(|| "no release yet".to_owned(), |number| format!("release {number}"))
}
