//! `sealock.lock`: what is read determines a manifest, and is written again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::{Lock, Manifest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(lock) = Lock::from_bytes(bytes) {
        let written = lock.to_bytes().expect("what was read can be written");
        assert_eq!(Lock::from_bytes(&written).expect("what was written can be read"), lock);
        let _ = Manifest::from_lock(&lock);
    }
});
