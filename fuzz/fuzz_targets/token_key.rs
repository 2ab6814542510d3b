//! What a token shows of a public key, and the signatures that it makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_trust::signer::pkcs11::{Mechanism, PublicAttributes};

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (kind, first, second) = input;
    let attributes = match kind % 4 {
        0 => PublicAttributes::Ec { params: first, point: second.clone() },
        1 => PublicAttributes::Edwards { params: first, point: second.clone() },
        2 => PublicAttributes::Rsa { modulus: second.clone(), exponent: first },
        _ => PublicAttributes::Info(first),
    };
    if let Ok(key) = attributes.public_key() {
        let mechanism = Mechanism::of(&key).expect("a key that was read is known");
        assert!(mechanism.signature(&key, b"message", &second).is_err());
    }
});
