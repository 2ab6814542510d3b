//! The registry as its clients see it: over TLS, on a real socket, from a real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by the first two, and tells by the third"
)]

mod access;
mod access_skopeo;
mod access_tls;
mod alone;
mod client;
mod clock;
mod conformance;
mod hostile;
mod idle;
mod lent;
mod life;
mod observe;
mod pull;
mod push;
mod push_beside_release;
mod revoked;
mod rules;
mod site;
mod skopeo;
mod upkeep;
