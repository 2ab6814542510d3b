//! Names of keys in tokens: what is read is written, and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::signer::KeyUri;

fuzz_target!(|text: &str| {
    if let Ok(uri) = text.parse::<KeyUri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }
});
