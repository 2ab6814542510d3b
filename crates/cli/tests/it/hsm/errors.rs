//! What a person is told when a token, its library or the helper does not play along.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sealock_testkit::hsm::helper;
use sealock_testkit::softhsm::SoftHsm;

use super::{Desk, uri};
use crate::packager::{Packager, SPEC};
use crate::sandbox::{Sandbox, steady};

fn export(key: &str) -> [&str; 3] {
    ["trust", "export", key]
}

/// A helper that is the real one, with what it answers sent through `sed`.
fn twisted(sandbox: &Sandbox, script: &str) -> PathBuf {
    let text = format!("#!/bin/sh\n{} | sed -u '{script}'\n", helper().display());
    let path = sandbox.write("twisted-hsm", text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    path
}

#[test]
fn what_is_missing_is_named() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let module_path = format!("{}?module-path=/nowhere/vendor.so", uri("p256"));
    insta::assert_snapshot!("module_missing", desk.see(&export(&module_path)));
    let no_library = format!("{}?module-path=/etc/hostname", uri("p256"));
    let seen = desk.see(&export(&no_library));
    assert!(seen.starts_with("exit code: 1\n") && seen.contains("cannot be used as a PKCS#11 library"), "{seen}");
    let mut command = desk.command(&export(&uri("p256")));
    let unnamed = command.env_remove("SEALOCK_PKCS11_MODULE").output().expect("it runs");
    insta::assert_snapshot!("module_unnamed", desk.seen(&unnamed));
    let mut command = desk.command(&export(&uri("p256")));
    let helper = command.env("SEALOCK_HSM_HELPER", "/nowhere/sealock-hsm").output().expect("it runs");
    insta::assert_snapshot!("helper_missing", desk.seen(&helper));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("serial=[0-9a-f]+", "serial=[SERIAL]");
    settings.add_filter("slot-id=[0-9]+", "slot-id=[SLOT]");
    settings.bind(|| insta::assert_snapshot!("token_missing", desk.see(&export("pkcs11:token=plnat;object=p256"))));
    let seen = desk.see(&export(&uri("p265")));
    assert!(seen.starts_with("exit code: 1\n") && seen.contains("object=p256;id=%70%32%35%36"), "{seen}");
    desk.hsm.pull_out();
    let seen = desk.see(&export(&uri("p256")));
    assert!(seen.starts_with("exit code: 4\n") && seen.contains("there is none at all"), "{seen}");
}

#[test]
fn a_wrong_pin_is_given_once_and_said_to_be_wrong() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    sandbox.write_private("pin", "000000\n");
    insta::assert_snapshot!("wrong_pin", desk.see(&export(&uri("p256"))));
    sandbox.write_private("pin", "246802\n");
    let seen = desk.see(&export(&uri("p256")));
    assert!(seen.contains("a wrong PIN was given to the token plant since the last right one"), "{seen}");
    let seen = desk.see(&export(&uri("rsa")));
    assert!(!seen.contains("a wrong PIN"), "a right one makes the count anew: {seen}");
    let mut command = desk.command(&export(&uri("p256")));
    let asked = command.env_remove("SEALOCK_PASSPHRASE_FILE").output().expect("it runs");
    insta::assert_snapshot!("no_terminal", desk.seen(&asked));
}

#[test]
fn two_keys_that_fit_are_listed() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    for id in ["01", "02"] {
        let args = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", id];
        desk.hsm.pkcs11_tool("plant", &args);
    }
    let seen = desk.see(&export(&uri("twin")));
    assert!(seen.starts_with("exit code: 2\n"), "{seen}");
    assert!(seen.contains("object=twin;id=%01") && seen.contains("object=twin;id=%02"), "{seen}");
    desk.must(&export("pkcs11:token=plant;object=twin;id=%02"));
}

#[test]
fn keys_that_cannot_be_verified_are_refused_by_name() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    desk.hsm.generate("plant", "koblitz", "EC:secp256k1", &[]);
    insta::assert_snapshot!("kind", desk.see(&export(&uri("koblitz"))));
    desk.hsm.generate("plant", "careful", "EC:prime256v1", &["--always-auth"]);
    insta::assert_snapshot!("always_authenticate", desk.see(&export(&uri("careful"))));
}

#[test]
fn a_token_without_the_mechanism_is_told_before_anything_is_done() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let old = twisted(&sandbox, r#"s/"eddsa",//"#);
    let mut command = desk.command(&export(&uri("ed25519")));
    insta::assert_snapshot!("mechanism", desk.seen(&command.env("SEALOCK_HSM_HELPER", old).output().expect("it runs")));
}

#[test]
fn a_helper_of_another_version_is_told() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let other = twisted(&sandbox, r#"1s/.*/{"format":"hsm\/2.0","version":"9.0.0"}/"#);
    let mut command = desk.command(&export(&uri("p256")));
    insta::assert_snapshot!("version", desk.seen(&command.env("SEALOCK_HSM_HELPER", other).output().expect("it runs")));
}

#[test]
fn a_helper_that_dies_half_way_is_told_and_the_build_goes_on_later() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let desk = Desk::new(sandbox);
    desk.must(&["init", "dies", "--site", "plant-7", "--key", &uri("p256"), "--root-key", &uri("p384")]);
    sandbox.write("dies/sealock.yaml", SPEC);
    sandbox.must(&["lock", "-f", "dies/sealock.yaml"]);
    let build = ["build", "--lock", "dies/sealock.lock"];
    // Lines 1 to 3 are the greeting, the token and the key: it is gone when the signature is asked for.
    let dies = twisted(sandbox, "3q");
    let seen = desk.seen(&desk.command(&build).env("SEALOCK_HSM_HELPER", dies).output().expect("it runs"));
    assert!(seen.starts_with("exit code: 4\n") && seen.contains("ended before it had answered"), "{seen}");
    let gone = twisted(sandbox, r#"4s/.*/{"error":{"code":"token-gone","message":"C_Sign answered DeviceRemoved"}}/"#);
    let seen = desk.seen(&desk.command(&build).env("SEALOCK_HSM_HELPER", gone).output().expect("it runs"));
    assert!(seen.starts_with("exit code: 4\n") && seen.contains("the token plant is not there any more"), "{seen}");
    assert!(seen.contains("Hint: Plug it in again"), "{seen}");
    desk.must(&build);
    sandbox.must(&["verify", "dies/plant-1.tar", "--site", "plant-7", "--root", "dies/trust/root.json"]);
}

#[test]
fn attack_a_signature_by_another_key_is_never_used() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let forged = "A".repeat(86);
    let twisted = twisted(&sandbox, &format!(r#"4s/.*/{{"signed":{{"signature":"{forged}=="}}}}/"#));
    let mut command = desk.command(&export(&uri("p256")));
    let output = command.env("SEALOCK_HSM_HELPER", &twisted).output().expect("it runs");
    insta::assert_snapshot!("mismatch", desk.seen(&output));
    assert!(!sandbox.join("p256.pub.pem").exists());
    let args = ["trust", "init", "root", "--root-key", &uri("p256"), "--publisher-key", &uri("p256"), "--yes"];
    let seen = desk.seen(&desk.command(&args).env("SEALOCK_HSM_HELPER", &twisted).output().expect("it runs"));
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[SIG]"), "{seen}");
    assert!(!sandbox.join("root/root.json").exists());
}

#[test]
fn attack_a_public_half_that_is_anothers_is_found_out() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    // A public key with the id and label of another private key: what a token that was tampered with might show.
    desk.hsm.generate("plant", "decoy", "EC:prime256v1", &[]);
    desk.hsm.pkcs11_tool("plant", &["--delete-object", "--type", "pubkey", "--label", "p256"]);
    let id = sealock_testkit::softhsm::id_of("p256");
    let decoy = sandbox.join("decoy.der");
    let decoy = decoy.to_str().expect("a path");
    desk.hsm.pkcs11_tool("plant", &["--read-object", "--type", "pubkey", "--label", "decoy", "--output-file", decoy]);
    desk.hsm.pkcs11_tool("plant", &["--write-object", decoy, "--type", "pubkey", "--label", "p256", "--id", &id]);
    let seen = desk.see(&export(&uri("p256")));
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[SIG]"), "{seen}");
}

#[test]
fn a_uri_is_read_strictly_and_a_pin_in_it_is_not_repeated() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    insta::assert_snapshot!("pin_value", desk.see(&export("pkcs11:object=p256?pin-value=sesame")));
    for uri in ["pkcs11:token=plant", "pkcs11:object=a;slot-description=b", "pkcs11:object=a?module-name=softhsm2"] {
        let seen = desk.see(&export(uri));
        assert!(seen.starts_with("exit code: 2\n"), "{seen}");
    }
    let made = desk.see(&["trust", "init", "--new-key", &uri("new")]);
    assert!(made.starts_with("exit code: 2\n") && made.contains("made by the tools"), "{made}");
    let file = desk.see(&["site", "init", "--site-key", "site.pem"]);
    assert!(file.starts_with("exit code: 2\n") || file.contains("site.yaml"), "{file}");
}

/// OpenSC's spy: a library that stands before another one, and writes down what it is called for.
fn spied(desk: &Desk<'_>, args: &[&str], log: &str) -> std::process::Output {
    let places = ["/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so"];
    let spy = places.into_iter().find(|place| std::path::Path::new(place).exists());
    let spy = spy.expect("pkcs11-spy.so (Debian package opensc-pkcs11) is needed for this test");
    let mut command = desk.command(args);
    command.env("SEALOCK_PKCS11_MODULE", spy).env("PKCS11SPY", SoftHsm::module()).env("PKCS11SPY_OUTPUT", log);
    command.output().expect("it runs")
}

#[test]
fn a_library_that_prints_disturbs_nobody() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let output = spied(&desk, &export(&uri("p256")), "/dev/stdout");
    assert!(output.status.success(), "{}", desk.seen(&output));
}

#[test]
fn a_pin_is_given_to_the_library_once_in_a_command_whether_it_is_right_or_wrong() {
    let sandbox = Sandbox::new();
    let desk = Desk::new(&sandbox);
    let logins = |pin: &str, log: &str| {
        sandbox.write_private("pin", pin);
        let log = sandbox.join(log);
        let output = spied(&desk, &export(&uri("p256")), log.to_str().expect("a path"));
        let called = std::fs::read_to_string(log).expect("the spy's log");
        (output.status.code(), called.matches("C_Login\n").count())
    };
    assert_eq!(logins("000000\n", "wrong.log"), (Some(1), 1));
    assert_eq!(logins("246802\n", "right.log"), (Some(0), 1));
}
