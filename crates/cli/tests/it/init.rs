//! `sealock init`

#![cfg(feature = "outside")]

use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::{Sandbox, steady};

const PASSPHRASE: &str = "correct horse battery staple";

fn initialised() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_private("passphrase", PASSPHRASE);
    sandbox
}

#[test]
fn it_says_what_travels_by_hand() {
    let _steady = steady();
    let sandbox = initialised();
    insta::assert_snapshot!(sandbox.see(&["init", "plant", "--site", "plant-7", "--passphrase-file", "passphrase"]));
    insta::assert_snapshot!("starter", sandbox.read("plant/sealock.yaml"));
}

#[test]
fn keys_are_encrypted_and_nobody_else_reads_them() {
    let sandbox = initialised();
    sandbox.must(&["init", "plant", "--passphrase-file", "passphrase"]);
    for key in ["plant/keys/root.pem", "plant/keys/publisher.pem", "plant/keys/revoker.pem"] {
        assert!(sandbox.read(key).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
        let mode = std::fs::metadata(sandbox.join(key)).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn a_second_run_overwrites_nothing_and_needs_no_passphrase() {
    let sandbox = initialised();
    sandbox.must(&["init", "plant", "--passphrase-file", "passphrase"]);
    let files = ["sealock.yaml", "keys/root.pem", "keys/publisher.pem", "keys/revoker.pem", "trust/root.json"];
    let before = files.map(|file| sandbox.read(&format!("plant/{file}")));
    let text = sandbox.must(&["init", "plant", "-o", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(outcome["written"], serde_json::json!([]));
    assert_eq!(before, files.map(|file| sandbox.read(&format!("plant/{file}"))));
}

#[test]
fn an_interrupted_run_is_finished_with_the_keys_it_made() {
    let sandbox = initialised();
    sandbox.must(&["init", "plant", "--passphrase-file", "passphrase"]);
    let key = sandbox.read("plant/keys/publisher.pem");
    std::fs::remove_file(sandbox.join("plant/trust/root.json")).expect("a root");
    sandbox.must(&["init", "plant", "--passphrase-file", "passphrase"]);
    assert_eq!(key, sandbox.read("plant/keys/publisher.pem"));
    assert!(sandbox.join("plant/trust/root.json").exists());
}

#[test]
fn an_existing_key_becomes_the_publisher() {
    let sandbox = initialised();
    sandbox.must(&["init", "first", "--unencrypted-keys"]);
    let key = "first/keys/publisher.pem";
    let mine = ["--key", key, "--root-key", "first/keys/root.pem", "--revoker-key", "first/keys/revoker.pem"];
    sandbox.must(&[&["init", "second"][..], &mine].concat());
    for key in ["publisher", "revoker"] {
        assert!(!sandbox.join(&format!("second/keys/{key}.pem")).exists());
    }
    let keys = |folder: &str| {
        let text = sandbox.read(&format!("{folder}/trust/root.json"));
        let root: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        (root["signed"]["roles"]["targets"].clone(), root["signed"]["x-sealock"]["revoker"].clone())
    };
    assert_eq!(keys("first"), keys("second"));
}

#[test]
fn the_revokers_key_revokes_and_is_no_publishers() {
    let sandbox = initialised();
    sandbox.must(&["init", "plant", "--unencrypted-keys"]);
    let revoked = format!("sha256:{}", "5".repeat(64));
    let revoke = |key: &str| {
        let key = format!("plant/keys/{key}.pem");
        let list = ["--list", "plant/trust/revocations.json", "--root", "plant/trust/root.json"];
        let what = ["--digest", &revoked, "--reason", "it calls home", "--key", &key, "-o", "json"];
        let text = sandbox.must(&[&["trust", "revoke"][..], &list, &what].concat());
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["complete"].clone()
    };
    assert_eq!(revoke("publisher"), false);
    assert_eq!(revoke("revoker"), true);
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_file() {
    let sandbox = initialised();
    let text = sandbox.must(&["init", "plant", "--unencrypted-keys", "-o", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let sum = std::process::Command::new("sha256sum").arg(sandbox.join("plant/trust/root.json")).output();
    let sum = String::from_utf8(sum.expect("sha256sum").stdout).expect("text");
    let hex = sum.split(' ').next().expect("a sum");
    assert_eq!(outcome["fingerprint"], format!("sha256:{hex}"));
}

#[test]
fn without_a_terminal_it_says_how_to_give_the_passphrase() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.see(&["init", "plant"]));
    assert!(!sandbox.join("plant/keys/root.pem").exists());
}

#[test]
fn a_threshold_that_cannot_be_met_is_refused() {
    insta::assert_snapshot!(Sandbox::new().see(&["init", "plant", "--unencrypted-keys", "--threshold", "2"]));
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.see(&["init", "plant", "--dry-run"]));
    assert!(!sandbox.join("plant").exists());
}
