//! Sealock server: listens: the site registry.
//!
//! The current release of a [`sealock_store::Store`], and older ones that are needed still, as an OCI registry (distribution
//! specification 1.1) over TLS, with what scoped principals pushed beside them. What can be pulled is what hangs on the
//! references of these releases or on a manifest that was let in, and nothing else; the registry never proxies. Meanwhile it
//! keeps the store: see [`upkeep`].

pub mod access;
mod audit;
mod bound;
mod clock;
mod condition;
mod config;
pub mod control;
mod error;
mod http;
mod listen;
pub mod manifest;
mod notify;
mod observe;
mod read_ahead;
pub mod revoked;
pub mod rules;
mod serve;
mod state;
pub mod tls;
pub mod unit;
pub mod upkeep;
mod view;

pub use access::{Access, AccessError, AccessFiles};
pub use bound::bound;
pub use clock::Clock;
pub use config::{Limits, RevocationSource, ServeConfig, TlsFiles, UpkeepPolicy};
pub use error::{ServeError, TlsError};
pub use http::line;
pub use serve::{Server, serve};
pub use view::ViewError;

/// A release in a sentence.
fn describe(release: Option<u64>) -> String {
    release.map_or_else(|| "no release yet".to_owned(), |number| format!("release {number}"))
}
