//! `manifest.json`: what is read is written again byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::from_bytes(bytes) {
        assert_eq!(manifest.to_bytes().expect("what was read can be written"), bytes);
    }
});
