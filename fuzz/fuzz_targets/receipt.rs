//! Receipts that come out of a site. None counts that the site did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::delta::Baseline;
use sealock_fuzz::envelope;
use sealock_trust::SiteRoot;
use sealock_trust::receipt::{PAYLOAD_TYPE, claimed_site};

const SITE_ROOT: &[u8] = include_bytes!("../../crates/trust/testdata/vectors/site-root.json");

fuzz_target!(|bytes: &[u8]| {
    let root = SiteRoot::open(SITE_ROOT).expect("our own vector");
    let _ = claimed_site(bytes);
    let _ = Baseline::open(bytes, &root);
    let unsigned = envelope(PAYLOAD_TYPE, bytes);
    let _ = claimed_site(&unsigned);
    assert!(Baseline::open(&unsigned, &root).is_err(), "a receipt that nobody signed");
});
