//! `sealock trust export` and `sealock trust sign`: signatures of people who never meet.

use crate::packager::{Packager, json};
use crate::sandbox::steady;

const BUNDLE: &str = "plant/plant-1.tar";
const REQUEST: &str = "plant/plant-1.request.json";
const MINE: &str = "plant/keys/publisher.pem";
const THEIRS: &str = "other/keys/publisher.pem";

/// A packager whose bundles take two signatures, and a bundle that nobody has signed yet, with its request.
fn two_keyholders() -> Packager {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    sandbox.must(&["init", "other", "--unencrypted-keys"]);
    std::fs::remove_file(sandbox.join("plant/trust/root.json")).expect("a root");
    sandbox.must(&["init", "plant", "--key", MINE, "--key", THEIRS, "--threshold", "2"]);
    packager.lock();
    sandbox.must(&["build", "--lock", "plant/sealock.lock", "--export-request", REQUEST]);
    packager
}

fn sign(packager: &Packager, request: &str, key: &str, to: &str) {
    packager.sandbox.must(&["trust", "sign", request, "--key", key, "--to", to, "--yes"]);
}

fn verify(packager: &Packager) -> std::process::Output {
    packager.sandbox.run(&["verify", BUNDLE, "--root", "plant/trust/root.json", "--site", "plant-7"])
}

#[test]
fn a_request_goes_out_and_signatures_come_back() {
    let _steady = steady();
    let packager = two_keyholders();
    let sandbox = &packager.sandbox;
    assert_eq!(verify(&packager).status.code(), Some(3));
    let payload =
        |packager: &Packager| std::fs::read(packager.sandbox.join(BUNDLE)).expect("a bundle").split_off(1 << 20);
    let before = payload(&packager);

    insta::assert_snapshot!("signed", sandbox.see(&["trust", "sign", REQUEST, "--key", MINE, "--yes"]));
    sign(&packager, REQUEST, THEIRS, "theirs.json");
    let mine = json(&sandbox.must(&["trust", "sign", REQUEST, "--key", MINE, "--yes", "-o", "json"]));
    let mine = mine["file"].as_str().expect("a file").to_owned();
    assert!(mine.starts_with("plant/plant-1.") && mine.ends_with(".signature.json"), "{mine}");

    insta::assert_snapshot!("first", sandbox.see(&["trust", "sign", BUNDLE, "--add", &mine]).replace(&mine, "[MINE]"));
    assert_eq!(verify(&packager).status.code(), Some(3));
    insta::assert_snapshot!("second", sandbox.see(&["trust", "sign", BUNDLE, "--add", "theirs.json"]));
    assert!(verify(&packager).status.success());
    assert!(payload(&packager) == before, "signing rewrites the header only");

    let again = json(&sandbox.must(&["trust", "sign", BUNDLE, "--add", &mine, "theirs.json", "-o", "json"]));
    assert_eq!((again["added"].as_array().map(Vec::len), again["complete"].as_bool()), (Some(0), Some(true)));
    assert!(verify(&packager).status.success());
}

#[test]
fn a_signer_sees_what_the_bytes_say_and_is_asked() {
    let _steady = steady();
    let packager = two_keyholders();
    insta::assert_snapshot!("shown", packager.sandbox.see(&["trust", "sign", REQUEST, "--dry-run"]));
    insta::assert_snapshot!(
        "asked",
        packager.sandbox.see(&["trust", "sign", REQUEST, "--key", MINE, "--to", "no.json"])
    );
    assert!(!packager.sandbox.join("no.json").exists());
}

#[test]
fn exports_are_the_same_whoever_has_signed() {
    let packager = two_keyholders();
    let sandbox = &packager.sandbox;
    let first = sandbox.read(REQUEST);
    sandbox.must(&["trust", "sign", BUNDLE, "--key", MINE, "--yes"]);
    sandbox.must(&["trust", "export", BUNDLE]);
    assert_eq!(sandbox.read(REQUEST), first);
    sandbox.write("plant/precious.json", "{}");
    let output = sandbox.run(&["trust", "export", BUNDLE, "--to", "plant/precious.json"]);
    assert_eq!((output.status.code(), sandbox.read("plant/precious.json").as_str()), (Some(1), "{}"));
}

#[test]
fn a_key_without_a_say_is_refused() {
    let _steady = steady();
    let packager = two_keyholders();
    let args = ["trust", "sign", REQUEST, "--key", "plant/keys/root.pem", "--yes"];
    insta::assert_snapshot!(packager.sandbox.see(&args));
}

#[test]
fn a_signature_for_another_request_is_refused_and_the_bundle_is_what_it_was() {
    let _steady = steady();
    let packager = two_keyholders();
    let sandbox = &packager.sandbox;
    sign(&packager, REQUEST, MINE, "mine.json");
    let spec = sandbox
        .read("plant/sealock.yaml")
        .replace("    - {ref: \"docker.io/library/web:2\", verify: {unsigned: \"made for this test\"}}\n", "");
    sandbox.write("plant/sealock.yaml", spec);
    sandbox.must(&["lock", "-f", "plant/sealock.yaml"]);
    sandbox.must(&[
        "build",
        "--lock",
        "plant/sealock.lock",
        "--to",
        "other.tar",
        "--root",
        "plant/trust/root.json",
        "--export-request",
        "other.request.json",
    ]);
    let before = std::fs::read(sandbox.join("other.tar")).expect("a bundle");
    let root = ["--root", "plant/trust/root.json"];
    insta::assert_snapshot!(sandbox.see(&[&["trust", "sign", "other.tar", "--add", "mine.json"][..], &root].concat()));
    assert!(std::fs::read(sandbox.join("other.tar")).expect("a bundle") == before);
}

#[test]
fn a_tampered_signature_is_refused() {
    let packager = two_keyholders();
    let sandbox = &packager.sandbox;
    sign(&packager, REQUEST, MINE, "mine.json");
    sign(&packager, REQUEST, THEIRS, "theirs.json");
    let keyid = |name: &str| json(&sandbox.read(name))["keyid"].as_str().expect("a key id").to_owned();
    let swapped = sandbox.read("mine.json").replace(&keyid("mine.json"), &keyid("theirs.json"));
    sandbox.write("swapped.json", swapped);
    let seen = sandbox.see(&["trust", "sign", BUNDLE, "--add", "swapped.json"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[SIG]"), "{seen}");
}

#[test]
fn a_root_that_the_signer_does_not_know_is_refused() {
    let packager = two_keyholders();
    let known = ["--root", "other/trust/root.json"];
    let args = [&["trust", "sign", REQUEST, "--key", MINE, "--yes"][..], &known].concat();
    let seen = packager.sandbox.see(&args);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[FINGERPRINT]"), "{seen}");
}

#[test]
fn the_public_half_of_a_key_goes_out() {
    let _steady = steady();
    let packager = two_keyholders();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!(sandbox.see(&["trust", "export", MINE]));
    assert!(sandbox.read("plant/keys/publisher.pub.pem").starts_with("-----BEGIN PUBLIC KEY-----"));
    sandbox.must(&["trust", "export", MINE]);
}
