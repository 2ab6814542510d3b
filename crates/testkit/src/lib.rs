//! Sealock testkit: for tests only: real upstreams on loopback, a site in a temporary folder.
//!
//! Nothing here is a mock: the registry speaks the distribution protocol over TLS, images are real layers, and what goes
//! wrong goes wrong on the wire. A helper fails by panicking, as a test does.
#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]

pub mod apt;
pub mod chart;
pub mod corpus;
pub mod cosign;
pub mod etcd;
pub mod gpg;
pub mod grpc_proxy;
pub mod hsm;
pub mod image;
pub mod issuer;
pub mod loan;
pub mod notation;
pub mod sealed;
pub mod sigstore;
pub mod small_disk;
pub mod softhsm;
pub mod upstream;
pub mod zstd;
