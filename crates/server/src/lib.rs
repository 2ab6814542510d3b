//! Sealock server: listens: the site registry.
//!
//! The current release of a [`sealock_store::Store`], and older ones that are needed still, as an OCI registry (distribution
//! specification 1.1, pull only) over TLS. What can be pulled is what hangs on the references of these releases, and nothing
//! else; the registry never proxies. Meanwhile it keeps the store: see [`upkeep`].

mod bound;
mod config;
pub mod control;
mod error;
mod http;
mod listen;
mod notify;
pub mod revoked;
mod serve;
mod state;
pub mod tls;
pub mod unit;
pub mod upkeep;
mod view;

pub use bound::bound;
pub use config::{Limits, RevocationSource, ServeConfig, TlsFiles, UpkeepPolicy};
pub use error::{ServeError, TlsError};
pub use serve::{Server, serve};
pub use view::ViewError;

/// A release in a sentence.
fn describe(release: Option<u64>) -> String {
    release.map_or_else(|| "no release yet".to_owned(), |number| format!("release {number}"))
}
