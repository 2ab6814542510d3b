//! Attestations of others, and keys as cosign uses them: what OpenSSL signed is the other side.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;
use sealock_trust::attestation::{Statement, UpstreamEnvelope, UpstreamKey};
use sealock_trust::reason::Code;
use serde_json::json;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/cosign").join(name)
}

fn key(name: &str) -> UpstreamKey {
    UpstreamKey::from_pem(&fs::read_to_string(file(name)).unwrap()).unwrap()
}

#[test]
fn keys_verify_what_cosign_two_and_three_sign_with_them() {
    let message = fs::read(file("message")).unwrap();
    for (public, signature) in [("p384", "p384-sha256"), ("p384", "p384-sha384"), ("rsa", "rsa-sha256")] {
        let key = key(&format!("{public}.pub.pem"));
        let signature = fs::read(file(&format!("{signature}.sig"))).unwrap();
        key.verify(&message, &signature).unwrap();
        assert_eq!(key.verify(b"something else", &signature).unwrap_err().code(), Code::Sig);
        assert_eq!(key.verify(&message, &signature[1..]).unwrap_err().code(), Code::Sig);
    }
    let pss = fs::read(file("rsa-pss.sig")).unwrap();
    assert_eq!(key("rsa.pub.pem").verify(&message, &pss).unwrap_err().code(), Code::Sig);
    assert_eq!(UpstreamKey::from_pem("not a key").unwrap_err().code(), Code::Format);
}

fn envelope(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let signatures = [json!({"sig": STANDARD.encode("no signature"), "keyid": "x"})];
    json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures, "more": 1.5})
        .to_string()
        .into_bytes()
}

#[test]
fn a_statement_is_about_its_subjects_only() {
    let image = Digest::sha256(b"image");
    let statement = json!({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://x.example/y",
        "subject": [{"name": "a", "digest": {"sha512": "00"}}, {"digest": {"sha256": image.hex()}}],
        "predicate": {"score": 7.5}});
    let read = Statement::from_json(statement.to_string().as_bytes()).unwrap();
    assert!(read.about(&image).is_some());
    assert!(read.about(&Digest::sha256(b"another")).is_none());
    assert_eq!(read.predicate_type(), "https://x.example/y");
}

#[test]
fn what_is_no_statement_or_not_signed_is_refused() {
    let key = key("p384.pub.pem");
    let in_toto = "application/vnd.in-toto+json";
    let unverified = |kind, payload: &[u8]| {
        UpstreamEnvelope::from_json(&envelope(kind, payload)).unwrap().unverified_statement().unwrap_err().code()
    };
    assert_eq!(unverified("text/plain", b"x"), Code::Subject);
    assert_eq!(unverified(in_toto, b"x"), Code::Format);
    assert_eq!(unverified(in_toto, br#"{"_type":"x","predicateType":"y","subject":[]}"#), Code::Format);
    let twice = br#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"y","subject":[],"subject":[]}"#;
    assert_eq!(unverified(in_toto, twice), Code::Format);
    let signed = UpstreamEnvelope::from_json(&envelope(in_toto, b"x")).unwrap();
    assert_eq!(signed.verify(&key).unwrap_err().code(), Code::Sig);
    for bytes in [&b"x"[..], b"{}", br#"{"payloadType":"x","payload":"","signatures":[]}"#] {
        assert_eq!(UpstreamEnvelope::from_json(bytes).unwrap_err().code(), Code::Format);
    }
}
