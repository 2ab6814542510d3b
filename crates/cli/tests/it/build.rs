//! `sealock build`

use sealock_testkit::upstream::Fault;

use crate::packager::{Packager, json};
use crate::sandbox::steady;

const BUILD: [&str; 3] = ["build", "--lock", "plant/sealock.lock"];

#[test]
fn a_lock_becomes_one_signed_bundle() {
    let _steady = steady();
    let packager = Packager::new();
    packager.lock();
    insta::assert_snapshot!(packager.sandbox.see(&BUILD));
}

#[test]
fn the_same_lock_makes_the_same_payload() {
    let packager = Packager::new();
    packager.lock();
    for name in ["one.tar", "two.tar"] {
        packager.sandbox.must(&[&BUILD[..], &["--to", name]].concat());
    }
    let bytes = |name: &str| std::fs::read(packager.sandbox.join(name)).expect("a bundle");
    assert!(bytes("one.tar") == bytes("two.tar"), "Ed25519 signatures are deterministic too");
}

#[test]
fn a_second_run_fetches_nothing() {
    let packager = Packager::new();
    packager.build();
    packager.upstream.fail("/", Fault::Status(500));
    packager.sandbox.must(&BUILD);
}

#[test]
fn a_blob_that_changed_upstream_is_refused() {
    let _steady = steady();
    let packager = Packager::new();
    packager.lock();
    packager.upstream.fail("/blobs/", Fault::Flip);
    let seen = packager.sandbox.see(&BUILD).replace(&packager.upstream.authority(), "[UPSTREAM]");
    assert!(seen.starts_with("exit code: 3\n"), "{seen}");
    assert!(seen.contains("error[UPSTREAM_DIGEST]") || seen.contains("error[DIGEST]"), "{seen}");
    assert!(!packager.sandbox.join("plant/plant-1.tar").exists());
}

#[test]
fn what_is_no_publishers_key_is_told_before_anything_is_fetched() {
    let packager = Packager::new();
    packager.lock();
    packager.upstream.fail("/", Fault::Status(500));
    let seen = packager.sandbox.see(&[&BUILD[..], &["--key", "plant/keys/root.pem"]].concat());
    insta::assert_snapshot!(seen);
}

#[test]
fn a_spec_that_was_edited_after_locking_is_told() {
    let packager = Packager::new();
    packager.lock();
    let spec = packager.sandbox.read("plant/sealock.yaml");
    packager.sandbox.write("plant/sealock.yaml", format!("{spec}# more\n"));
    insta::assert_snapshot!(packager.sandbox.see(&BUILD));
}

#[test]
fn another_file_is_never_overwritten() {
    let packager = Packager::new();
    packager.lock();
    packager.sandbox.write("plant/plant-1.tar", "precious");
    insta::assert_snapshot!(packager.sandbox.see(&BUILD));
    assert_eq!(packager.sandbox.read("plant/plant-1.tar"), "precious");
}

#[test]
fn a_threshold_is_reached_by_one_key_after_the_other() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    sandbox.must(&["init", "other", "--unencrypted-keys"]);
    std::fs::remove_file(sandbox.join("plant/trust/root.json")).expect("a root");
    let (mine, theirs) = ("plant/keys/publisher.pem", "other/keys/publisher.pem");
    sandbox.must(&["init", "plant", "--key", mine, "--key", theirs, "--threshold", "2"]);
    packager.lock();
    let first = json(&sandbox.must(&[&BUILD[..], &["-o", "json", "--key", mine]].concat()));
    assert_eq!(first["signers"].as_array().map(Vec::len), Some(1));
    let verify = ["verify", "plant/plant-1.tar", "--root", "plant/trust/root.json", "--site", "plant-7"];
    assert_eq!(sandbox.run(&verify).status.code(), Some(3));
    let second = json(&sandbox.must(&[&BUILD[..], &["-o", "json", "--key", theirs]].concat()));
    assert_eq!(second["signers"].as_array().map(Vec::len), Some(2));
    sandbox.must(&verify);
}
