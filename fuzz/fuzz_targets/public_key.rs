//! Public keys in PEM form: one key has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::PublicKey;

fuzz_target!(|text: &str| {
    if let Ok(key) = PublicKey::from_pem(text) {
        let pem = key.to_pem().expect("a known key");
        assert_eq!(PublicKey::from_pem(&pem).expect("our own PEM").id(), key.id());
        assert!(key.verify(b"message", b"signature").is_err());
    }
});
