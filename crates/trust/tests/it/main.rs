//! The crate as its users see it: keys, roots, attacks on them, what a site remembers.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod attack_vectors;
mod attacks;
mod attestations;
mod directory;
mod keys;
mod oracle;
mod requests;
mod revocations;
mod roots;
mod site;
mod vectors;
mod vendors;
mod world;
