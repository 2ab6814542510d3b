//! Credentials, tokens and key sets, as hostile clients and careless issuers send them: none is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_server::access::credentials::Credentials;
use sealock_server::access::jwt::{Jwks, Unverified};

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let _ = Jwks::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Credentials::parse(text);
    if let Ok(token) = Unverified::parse(text) {
        let _ = token.unverified_issuer();
        let keys = Jwks::parse(KEYS.as_bytes()).expect("a key set");
        assert!(token.verify(&keys).is_err());
    }
});
