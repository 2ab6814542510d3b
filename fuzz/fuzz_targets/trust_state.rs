//! The trust folder of a station, whose state somebody may have written to.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use sealock_fuzz::{envelope, in_memory};
use sealock_trust::TrustDirectory;

const PAYLOAD_TYPE: &str = "application/vnd.sealock.trust-state.v1+json";

fuzz_target!(|bytes: &[u8]| {
    in_memory(|folder| {
        for (file, bytes) in [
            ("state.json", bytes.to_vec()),
            ("state.json", envelope(PAYLOAD_TYPE, bytes)),
            ("frozen.json", bytes.to_vec()),
        ] {
            fs::write(folder.join(file), bytes).expect("memory");
            let trust = TrustDirectory::open(folder).expect("a folder");
            let _ = (trust.generation(), trust.time_floor(), trust.enrolments(), trust.accepted_streams());
            let _ = (trust.revoked(), trust.resolutions(), trust.frozen());
            let stream = "base".parse().expect("a stream");
            let _ = (trust.root_for(&stream), trust.stream_state(&stream), trust.accepted(&stream));
        }
    });
});
