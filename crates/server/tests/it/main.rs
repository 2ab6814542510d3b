//! The registry as its clients see it: over TLS, on a real socket, from a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by them")]

mod client;
mod hostile;
mod idle;
mod life;
mod pull;
mod site;
mod skopeo;
