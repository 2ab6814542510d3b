//! Tokens that let one bundle in. None counts that two people did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_fuzz::envelope;
use sealock_trust::break_glass::{BreakGlass, PAYLOAD_TYPE, Token};
use sealock_trust::{Digest, SiteRoot};

const SITE_ROOT: &[u8] = include_bytes!("../../crates/trust/testdata/vectors/site-root.json");

fuzz_target!(|bytes: &[u8]| {
    let root = SiteRoot::open(SITE_ROOT).expect("our own vector");
    let now = "2026-11-23T12:00:00Z".parse().expect("a time");
    let manifest = Digest::sha256(b"manifest");
    let _ = Token::verify(bytes, &root, &manifest, now);
    let unsigned = envelope(PAYLOAD_TYPE, bytes);
    let _ = BreakGlass::read(&unsigned);
    assert!(Token::verify(&unsigned, &root, &manifest, now).is_err(), "a token that nobody signed");
});
