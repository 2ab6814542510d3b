//! Every path on which something is signed.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::termios::LocalModes;
use sealock_testkit::softhsm::PIN;

use super::{Desk, SCHEMES, uri};
use crate::packager::{Packager, SPEC, json};
use crate::sandbox::{Sandbox, steady};
use crate::site;

fn fingerprint(sandbox: &Sandbox, root: &str) -> String {
    let shown = json(&sandbox.must(&["trust", "show", root, "-o", "json"]));
    shown[0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

fn keyids(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let document = json(&sandbox.read(file));
    let signatures = document["signatures"].as_array().expect("signatures");
    signatures.iter().map(|signature| signature["keyid"].as_str().expect("a key id").to_owned()).collect()
}

/// The folder `name` with a root and a publisher in the token, its spec locked.
fn locked(desk: &Desk<'_>, name: &str, key: &str) {
    desk.must(&[
        "init",
        name,
        "--site",
        "plant-7",
        "--key",
        &uri(key),
        "--root-key",
        &uri(key),
        "--revoker-key",
        &uri(key),
    ]);
    desk.sandbox.write(&format!("{name}/sealock.yaml"), SPEC);
    desk.sandbox.must(&["lock", "-f", &format!("{name}/sealock.yaml")]);
}

#[test]
fn a_root_and_a_bundle_are_signed_by_keys_of_every_scheme() {
    let packager = Packager::new();
    let desk = Desk::new(&packager.sandbox);
    for (key, scheme) in SCHEMES {
        locked(&desk, key, key);
        let root = json(&desk.sandbox.read(&format!("{key}/trust/root.json")));
        let keys = root["signed"]["keys"].as_object().expect("keys");
        assert!(keys.values().all(|key| key["scheme"] == scheme), "{root}");
        // No --key: the URI stands in keys/publisher.uri.
        desk.must(&["build", "--lock", &format!("{key}/sealock.lock")]);
        let (bundle, root) = (format!("{key}/plant-1.tar"), format!("{key}/trust/root.json"));
        desk.sandbox.must(&["verify", &bundle, "--site", "plant-7", "--root", &root]);
    }
}

#[test]
fn a_bundle_is_signed_beside_a_key_in_a_file_and_answered_from_afar() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let desk = Desk::new(sandbox);
    desk.export("p256");
    desk.export("ed25519");
    let keys = ["--key", "p256.pub.pem", "--key", "ed25519.pub.pem", "--key", "plant/keys/publisher.pem"];
    sandbox.must(&[&["init", "three", "--unencrypted-keys", "--threshold", "3"][..], &keys].concat());
    sandbox.write("three/sealock.yaml", SPEC);
    sandbox.must(&["lock", "-f", "three/sealock.yaml"]);
    let build = ["build", "--lock", "three/sealock.lock", "--export-request", "request.json"];
    desk.must(&[&build[..], &["--key", "plant/keys/publisher.pem", "--key", &uri("p256")]].concat());
    desk.must(&["trust", "sign", "request.json", "--key", &uri("ed25519"), "--to", "back.json", "--yes"]);
    sandbox.must(&["trust", "sign", "three/plant-1.tar", "--add", "back.json"]);
    sandbox.must(&["verify", "three/plant-1.tar", "--site", "plant-7", "--root", "three/trust/root.json"]);
}

#[test]
fn a_bundle_is_signed_by_trust_sign_with_the_uri_in_a_file() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let desk = Desk::new(sandbox);
    locked(&desk, "rsa", "rsa");
    sandbox.write("elsewhere.uri", format!("{}\n", uri("rsa")));
    desk.must(&["build", "--lock", "rsa/sealock.lock", "--export-request", "request.json"]);
    desk.must(&["trust", "sign", "rsa/plant-1.tar", "--key", "elsewhere.uri", "--yes"]);
    sandbox.must(&["verify", "rsa/plant-1.tar", "--site", "plant-7", "--root", "rsa/trust/root.json"]);
}

#[test]
fn a_ceremony_and_a_rotation_are_held_with_keys_in_tokens() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let [p384, ed25519] = ["p384", "ed25519"].map(|name| desk.export(name));
    sandbox.must(&["trust", "init", "--new-key", "carol.pem", "--unencrypted-keys"]);
    sandbox.must(&["trust", "init", "--new-key", "pat.pem", "--unencrypted-keys"]);
    let roles = ["--root-key", "p384.pub.pem", "--root-key", "ed25519.pub.pem", "--root-key", "carol.pub.pem"];
    let publisher = ["--root-threshold", "2", "--publisher-key", "pat.pub.pem", "--revoker-key", &uri("p256")];
    desk.must(&[&["trust", "init"][..], &roles, &publisher].concat());
    let request = "trust/root.request.json";
    desk.must(&["trust", "sign", request, "--key", &uri("p384"), "--to", "one.json", "--yes"]);
    desk.must(&["trust", "sign", "trust/root.draft.json", "--add", "one.json", "--key", &uri("ed25519"), "--yes"]);
    let mut signed = keyids(&sandbox, "trust/root.json");
    signed.sort_unstable();
    let mut expected = vec![p384, ed25519];
    expected.sort_unstable();
    assert_eq!(signed, expected);

    let root_keys = ["--root-key", &uri("p384"), "--root-key", &uri("rsa"), "--root-key", "carol.pem"];
    let standing = desk.must(&[&["trust", "rotate"][..], &root_keys, &["--yes", "-o", "json"]].concat());
    assert_eq!(json(&standing)["finished"]["root"], "trust/2.root.json", "URIs of private keys sign at once");
    sandbox.must(&["trust", "show", "trust/root.json", "trust/2.root.json"]);
}

#[test]
fn a_root_is_made_at_once_with_keys_in_tokens_only() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let roles = ["--root-key", &uri("ed25519"), "--publisher-key", &uri("p256"), "--no-revoker"];
    let standing = json(&desk.must(&[&["trust", "init", "one"][..], &roles, &["--yes", "-o", "json"]].concat()));
    assert_eq!(standing["finished"]["root"], "one/root.json");
}

#[test]
fn a_revocation_list_is_signed_by_a_revoker_in_a_token() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    for (key, _) in SCHEMES {
        let roles = ["--root-key", &uri("ed25519"), "--publisher-key", &uri("ed25519"), "--revoker-key", &uri(key)];
        desk.must(&[&["trust", "init", key][..], &roles, &["--yes"]].concat());
        let (list, root) = (format!("{key}.json"), format!("{key}/root.json"));
        let args = ["trust", "revoke", "--list", &list, "--root", &root, "--renew", "--key", &uri(key), "-o", "json"];
        assert_eq!(json(&desk.must(&args))["complete"], true, "{key}");
    }
}

/// Keys of the site in the token: they sign the site root, the trust state, the receipt, the release.
#[test]
fn a_station_signs_what_it_accepts_with_keys_in_a_token() {
    for (key, _) in SCHEMES {
        let packager = Packager::new();
        packager.build();
        let sandbox = &packager.sandbox;
        let desk = Desk::new(sandbox);
        site::spec(sandbox, "plant-7");
        let made = desk.must(&["site", "init", "--site-key", &uri(key), "--root-key", &uri("p384"), "-o", "json"]);
        assert!(
            !sandbox.join("state/keys/site.pem").exists() && !sandbox.join("state/keys/root.pem").exists(),
            "{made}"
        );
        assert_eq!(sandbox.read("state/keys/site.uri"), format!("{}\n", uri(key)));
        let print = fingerprint(sandbox, "plant/trust/root.json");
        desk.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &print]);
        desk.must(&["import", "plant/plant-1.tar", "--receipt", "receipt.json"]);
        assert_eq!(keyids(sandbox, "receipt.json"), [desk.export(key)]);
        // Reading needs no key: signatures of receipt, release and state are checked.
        sandbox.must(&["release", "show"]);
        sandbox.must(&["site", "state", "--receipt", "receipt.json"]);
    }
}

#[test]
fn an_interrupted_station_is_finished_with_its_keys_in_the_token() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    site::spec(&sandbox, "plant-7");
    let init = ["site", "init", "--site-key", &uri("p256"), "--root-key", &uri("p384")];
    desk.must(&init);
    std::fs::remove_file(sandbox.join("state/trust/site-root.json")).expect("a root");
    desk.must(&init);
    std::fs::remove_file(sandbox.join("state/trust/site-root.json")).expect("a root");
    desk.must(&["site", "init"]);
    assert!(!sandbox.join("state/keys/site.pem").exists(), "the URIs that are kept hold");
    std::fs::remove_file(sandbox.join("state/trust/site-root.json")).expect("a root");
    let other = desk.run(&["site", "init", "--site-key", &uri("rsa"), "--root-key", &uri("p384")]);
    assert_eq!(other.status.code(), Some(2), "{}", desk.seen(&other));
}

#[test]
fn approvers_break_the_glass_with_keys_in_tokens() {
    let packager = Packager::new();
    packager.build();
    let sandbox = &packager.sandbox;
    let desk = Desk::new(sandbox);
    desk.export("p256");
    desk.export("rsa");
    site::spec(sandbox, "plant-8");
    let spec = sandbox.read("site.yaml") + "  approvers: [p256.pub.pem, rsa.pub.pem]\n";
    sandbox.write("site.yaml", spec);
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let print = fingerprint(sandbox, "plant/trust/root.json");
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &print]);
    let verify =
        ["verify", "plant/plant-1.tar", "--root", "plant/trust/root.json", "--site", "plant-7", "-q", "-o", "json"];
    let manifest = json(&sandbox.must(&verify))["digest"].as_str().expect("a digest").to_owned();
    let begin = ["site", "break-glass", "token.json", "--manifest", &manifest, "--reason", "the pumps stand still"];
    desk.must(&[&begin[..], &["--key", &uri("p256")]].concat());
    desk.must(&["site", "break-glass", "token.json", "--add", "--key", &uri("rsa")]);
    sandbox.must(&["import", "plant/plant-1.tar", "--break-glass", "token.json"]);
}

#[test]
fn a_pin_of_each_token_may_stand_in_its_own_file() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let uri = format!("{}?pin-source={}", uri("p256"), sandbox.join("pin").display());
    let mut command = desk.command(&["trust", "export", &uri]);
    let output = command.env_remove("SEALOCK_PASSPHRASE_FILE").output().expect("it runs");
    assert!(output.status.success(), "{}", desk.seen(&output));
}

/// Runs the command on a terminal of its own, and types the PIN once it is asked for; answers all that the terminal showed.
fn typed(desk: &Desk<'_>, args: &[&str]) -> String {
    let mut inner = desk.command(args);
    inner.env_remove("SEALOCK_PASSPHRASE_FILE");
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
    let mut outer = Command::new("script");
    outer
        .args(["-qec", &format!("tty > terminal; {}", line.join(" ")), "/dev/null"])
        .current_dir(desk.sandbox.path())
        .env_clear();
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outer = outer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut outer = outer.expect("script (Debian package bsdutils) is needed for this test");
    let (mut input, mut output) = (outer.stdin.take().expect("an input"), outer.stdout.take().expect("an output"));
    let mut shown = Vec::new();
    let mut byte = [0];
    while let Ok(1) = output.read(&mut byte) {
        shown.push(byte[0]);
        if shown.ends_with(b"PIN of the token plant: ") {
            wait_until_nothing_is_shown(&desk.sandbox.join("terminal"));
            writeln!(input, "{PIN}").and_then(|()| input.flush()).expect("it reads");
        }
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(outer.wait().expect("it ends").success(), "{shown}");
    shown
}

/// Whoever types sees the prompt a moment before the terminal stops showing what is typed: a person is slower than that moment.
fn wait_until_nothing_is_shown(terminal: &Path) {
    let name = std::fs::read_to_string(terminal).expect("the terminal's name");
    let terminal = std::fs::File::open(name.trim()).expect("the terminal");
    let deadline = Instant::now() + Duration::from_secs(30);
    while rustix::termios::tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ECHO) {
        assert!(Instant::now() < deadline, "the terminal still shows what is typed after 30 s");
        std::thread::yield_now();
    }
}

#[test]
fn a_person_is_asked_for_the_pin_of_a_token_once_and_it_is_not_shown() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let args =
        ["trust", "init", "one", "--root-key", &uri("p256"), "--publisher-key", &uri("rsa"), "--no-revoker", "--yes"];
    let shown = typed(&desk, &args);
    assert_eq!(shown.matches("PIN of the token plant: ").count(), 1, "{shown}");
    assert!(!shown.contains(PIN), "{shown}");
    assert!(sandbox.join("one/root.json").exists());
}

#[test]
fn the_public_half_goes_out_as_a_file_that_openssl_reads() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    insta::assert_snapshot!(desk.see(&["trust", "export", &uri("p384")]));
    for (key, _) in SCHEMES {
        desk.export(key);
        let read = std::process::Command::new("openssl")
            .args(["pkey", "-pubin", "-noout", "-in", &format!("{key}.pub.pem")])
            .current_dir(sandbox.path())
            .status();
        assert!(read.expect("openssl (Debian package openssl) is needed for this test").success(), "{key}");
    }
}
