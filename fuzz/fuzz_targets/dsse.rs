//! Envelopes: what is read is written again byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::dsse::Envelope;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::from_json(bytes) {
        assert_eq!(envelope.to_json().expect("what was read can be written"), bytes);
    }
});
