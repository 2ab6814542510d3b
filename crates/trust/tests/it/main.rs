//! Integration tests of the trust crate.
