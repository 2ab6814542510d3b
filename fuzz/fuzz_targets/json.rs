//! The strict JSON reader: what it takes, every other reader takes, and means the same by; its canonical form is fixed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::json::{Limits, Value, jcs, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = parse(bytes, &Limits::DOCUMENT) {
        let lenient: Value = serde_json::from_slice(bytes).expect("JSON for us is JSON for others");
        assert_eq!(lenient, value);
        let canonical = jcs::to_vec(&value).expect("what was read can be written");
        assert_eq!(parse(&canonical, &Limits::DOCUMENT).expect("what was written can be read"), value);
        assert_eq!(jcs::to_vec(&value).expect("again"), canonical);
    }
});
