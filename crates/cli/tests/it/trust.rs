//! `sealock trust`

#![cfg(feature = "outside")]

use crate::sandbox::{Sandbox, steady};

fn publisher() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let text = sandbox.must(&["init", "plant", "--unencrypted-keys", "-o", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fingerprint = outcome["fingerprint"].as_str().expect("a fingerprint").to_owned();
    (sandbox, fingerprint)
}

const ROOT: &str = "plant/trust/root.json";

#[test]
fn a_root_is_enrolled_by_its_fingerprint() {
    let _steady = steady();
    let (sandbox, fingerprint) = publisher();
    insta::assert_snapshot!(sandbox.see(&["trust", "enroll", ROOT, "--fingerprint", &fingerprint]));
    sandbox.must(&["trust", "enroll", ROOT, "--fingerprint", &fingerprint]);
    insta::assert_snapshot!("shown", sandbox.see(&["trust", "show"]));
}

#[test]
fn a_wrong_fingerprint_is_refused_and_nothing_is_believed() {
    let _steady = steady();
    let (sandbox, fingerprint) = publisher();
    let mut root = sandbox.read(ROOT).into_bytes();
    root.push(b'\n');
    sandbox.write("forged.json", root);
    for dry_run in [&[][..], &["--dry-run"]] {
        let args = [&["trust", "enroll", "forged.json", "--fingerprint", &fingerprint], dry_run].concat();
        assert_eq!(sandbox.run(&args).status.code(), Some(3), "{args:?}");
    }
    insta::assert_snapshot!(sandbox.see(&["trust", "enroll", "forged.json", "--fingerprint", &fingerprint]));
    let text = sandbox.must(&["trust", "show", "-o", "json"]);
    let trust: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(trust["enrolled"], serde_json::json!([]));
}

#[test]
fn what_is_no_fingerprint_is_a_usage_error() {
    let (sandbox, _) = publisher();
    insta::assert_snapshot!(sandbox.see(&["trust", "enroll", ROOT, "--fingerprint", "abc"]));
}
