//! `sealock import`

use std::os::unix::fs::FileExt as _;

use crate::packager::{Packager, json};
use crate::sandbox::{Sandbox, steady};
use crate::site;

const BUNDLE: &str = "plant/plant-1.tar";

/// A station beside a bundle whose packager it does not know.
fn strangers(site_id: &str) -> Packager {
    let packager = Packager::new();
    packager.build();
    site::spec(&packager.sandbox, site_id);
    packager.sandbox.must(&["site", "init", "--unencrypted-keys"]);
    packager
}

/// A station that believes the packager of the bundle beside it.
pub fn station(site_id: &str) -> Packager {
    let packager = Packager::new();
    packager.build();
    believe(&packager.sandbox, site_id);
    packager
}

/// Makes a station that believes the packager in the same sandbox; answers with the port of its registry.
pub fn believe(sandbox: &Sandbox, site_id: &str) -> u16 {
    let port = site::spec(sandbox, site_id);
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let sum = std::process::Command::new("sha256sum").arg(sandbox.join("plant/trust/root.json")).output();
    let sum = String::from_utf8(sum.expect("sha256sum").stdout).expect("text");
    let fingerprint = sum.split(' ').next().expect("a sum").to_owned();
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &fingerprint]);
    port
}

/// Every file of the store with its size.
pub fn store(sandbox: &Sandbox) -> Vec<(String, u64)> {
    fn walk(folder: &std::path::Path, found: &mut Vec<(String, u64)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            if metadata.is_dir() {
                walk(&path, found);
            } else if path.file_name().is_none_or(|name| name != "lock") {
                found.push((path.display().to_string(), metadata.len()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&sandbox.join("state/store"), &mut found);
    found.sort();
    found
}

#[test]
fn a_bundle_becomes_a_release() {
    let _steady = steady();
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!(sandbox.see(&["import", BUNDLE]));
    insta::assert_snapshot!("list", sandbox.see(&["release", "list"]));
    insta::assert_snapshot!("show", sandbox.see(&["release", "show"]));
    insta::assert_snapshot!("trust", sandbox.see(&["trust", "show"]));
}

#[test]
fn twice_changes_nothing() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    assert_eq!(json(&sandbox.must(&["import", BUNDLE, "-o", "json"]))["changed"], true);
    let before = store(sandbox);
    let again = json(&sandbox.must(&["import", BUNDLE, "-o", "json"]));
    assert_eq!((&again["changed"], &again["release"]), (&false.into(), &1.into()));
    assert_eq!(before, store(sandbox));
}

#[test]
fn a_dry_run_checks_writes_nothing_and_says_what_would_change() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let before = store(sandbox);
    let would_change = || json(&sandbox.must(&["import", "--dry-run", BUNDLE, "-o", "json"]))["wouldChange"].clone();
    assert_eq!(would_change(), true);
    assert_eq!(before, store(sandbox));
    sandbox.must(&["import", BUNDLE]);
    assert_eq!(would_change(), false);
}

#[test]
fn another_sites_bundle_is_refused_and_the_store_is_what_it_was() {
    let _steady = steady();
    let packager = station("plant-8");
    let before = store(&packager.sandbox);
    insta::assert_snapshot!(packager.sandbox.see(&["import", BUNDLE]));
    assert_eq!(before, store(&packager.sandbox));
}

#[test]
fn a_flipped_byte_anywhere_is_refused_and_the_store_is_what_it_was() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let size = std::fs::metadata(sandbox.join(BUNDLE)).expect("a bundle").len();
    let before = store(sandbox);
    for at in [0, 700, 4096, 1 << 20, size / 2, size - 2000, size - 1] {
        std::fs::copy(sandbox.join(BUNDLE), sandbox.join("damaged.tar")).expect("a copy");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(sandbox.join("damaged.tar"));
        let file = file.expect("a bundle");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("a byte");
        file.write_all_at(&[byte[0] ^ 1], at).expect("writable");
        let seen = sandbox.see(&["import", "damaged.tar"]);
        assert!(seen.starts_with("exit code: 3\n") && seen.contains("error["), "byte {at}: {seen}");
        assert_eq!(before, store(sandbox), "byte {at}");
    }
}

#[test]
fn truncated_and_extended_bundles_are_refused() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let bytes = std::fs::read(sandbox.join(BUNDLE)).expect("a bundle");
    for (damaged, code) in
        [(bytes[..bytes.len() - 4096].to_vec(), "INCOMPLETE"), ([&bytes[..], &[0; 512]].concat(), "TRAILING")]
    {
        sandbox.write("damaged.tar", damaged);
        let seen = sandbox.see(&["import", "damaged.tar"]);
        assert!(seen.starts_with("exit code: 3\n") && seen.contains(&format!("error[{code}]")), "{seen}");
    }
}

#[test]
fn a_stranger_is_refused() {
    let _steady = steady();
    insta::assert_snapshot!(strangers("plant-7").sandbox.see(&["import", BUNDLE]));
}

#[test]
fn the_receipt_is_written_for_the_publisher() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", BUNDLE, "--receipt", "receipt.json"]);
    let receipt = json(&sandbox.read("receipt.json"));
    assert_eq!(receipt["payloadType"], "application/vnd.in-toto+json");
    sandbox.must(&["import", BUNDLE, "--receipt", "again.json"]);
    assert_eq!(sandbox.read("again.json"), sandbox.read("receipt.json"));
}

#[test]
fn a_trust_folder_that_was_put_back_is_noticed() {
    let _steady = steady();
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let state = std::fs::read(sandbox.join("state/trust/state.json")).expect("a state");
    sandbox.must(&["import", BUNDLE, "--receipt", "receipt.json"]);
    std::fs::write(sandbox.join("state/trust/state.json"), state).expect("an older state");
    insta::assert_snapshot!(sandbox.see(&["import", BUNDLE]));
    insta::assert_snapshot!("regression_state", sandbox.see(&["site", "state", "--receipt", "receipt.json"]));
    // A site of one person has nobody to settle it.
    let settle =
        ["site", "resolve-state", "token.json", "--reason", "a restore", "--key", "state/keys/root.pem", "--yes"];
    insta::assert_snapshot!("regression_resolved", sandbox.see(&settle));
    assert!(sandbox.see(&["import", BUNDLE]).contains("error[STATE_REGRESSION]"));
}

fn revoke<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let list = ["trust", "revoke", "--list", "list.json", "--root", "plant/trust/root.json"];
    [&list[..], &["--key", "plant/keys/root.pem"], more].concat()
}

/// The list is signed by the root's own keys here, since the root of `init` names no revoker.
#[test]
fn what_is_revoked_is_listed_and_refused_and_an_older_list_is_told_from_the_newest() {
    let _steady = steady();
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", BUNDLE]);
    let release = json(&sandbox.must(&["release", "show", "-o", "json"]));
    let references = release["references"].as_array().expect("references");
    let web = references.iter().find(|reference| reference["name"] == "docker.io/library/web:2").expect("the image");
    let digest = web["digest"].as_str().expect("a digest").to_owned();
    insta::assert_snapshot!("revoke", sandbox.see(&revoke(&["--digest", &digest, "--reason", "it calls home"])));
    std::fs::copy(sandbox.join("list.json"), sandbox.join("first.json")).expect("a copy");
    sandbox.must(&revoke(&["--renew"]));
    insta::assert_snapshot!("revoke_import", sandbox.see(&["import", "list.json"]));
    sandbox.must(&["import", "list.json"]);
    insta::assert_snapshot!("revoke_older", sandbox.see(&["import", "first.json"]));
    insta::assert_snapshot!("revoke_shown", sandbox.see(&["trust", "show"]));
    let release = json(&sandbox.must(&["release", "show", "-o", "json"]));
    assert_eq!((&release["revoked"][0]["digest"], &release["revoked"][0]["blocked"]), (&digest.into(), &true.into()));
    insta::assert_snapshot!("revoke_refused", sandbox.see(&["verify", BUNDLE]));
}

#[test]
fn a_stranger_cannot_sign_a_revocation_list() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    sandbox.must(&["init", "other", "--unencrypted-keys"]);
    let args = ["trust", "revoke", "--list", "list.json", "--root", "plant/trust/root.json", "--renew"];
    let seen = sandbox.see(&[&args[..], &["--key", "other/keys/root.pem"]].concat());
    assert!(seen.starts_with("exit code: 2\n"), "{seen}");
}

fn openssl(sandbox: &Sandbox, args: &[&str]) {
    let status = std::process::Command::new("openssl").args(args).current_dir(sandbox.path()).status();
    assert!(status.expect("openssl (Debian package openssl) is needed for this test").success(), "{args:?}");
}

#[test]
fn two_approvers_let_a_bundle_in_that_is_for_others() {
    let _steady = steady();
    let packager = Packager::new();
    packager.build();
    let sandbox = &packager.sandbox;
    site::spec(sandbox, "plant-8");
    let mut spec = sandbox.read("site.yaml");
    spec.push_str("  approvers: [one.pub, two.pub]\n  expiry: {staleGrace: 10d}\n");
    sandbox.write("site.yaml", spec);
    for name in ["one", "two"] {
        let (key, public) = (format!("{name}.pem"), format!("{name}.pub"));
        openssl(sandbox, &["genpkey", "-algorithm", "ed25519", "-out", &key]);
        openssl(sandbox, &["pkey", "-in", &key, "-pubout", "-out", &public]);
    }
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let fingerprint = json(&sandbox.must(&["trust", "show", "-o", "json"]));
    assert_eq!(fingerprint["enrolled"], serde_json::json!([]));
    let sum = std::process::Command::new("sha256sum").arg(sandbox.join("plant/trust/root.json")).output();
    let sum = String::from_utf8(sum.expect("sha256sum").stdout).expect("text");
    let sum = sum.split(' ').next().expect("a sum");
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", sum]);
    let verify = ["verify", BUNDLE, "--root", "plant/trust/root.json", "--site", "plant-7", "-q", "-o", "json"];
    let manifest = json(&sandbox.must(&verify))["digest"].as_str().expect("a digest").to_owned();

    let begin = ["site", "break-glass", "token.json", "--manifest", &manifest, "--reason", "the pumps stand still"];
    insta::assert_snapshot!("glass_first", sandbox.see(&[&begin[..], &["--key", "one.pem"]].concat()));
    let import = ["import", BUNDLE, "--break-glass", "token.json"];
    assert!(sandbox.see(&import).contains("error[THRESHOLD]"));
    insta::assert_snapshot!(
        "glass_second",
        sandbox.see(&["site", "break-glass", "token.json", "--add", "--key", "two.pem"])
    );
    assert!(sandbox.see(&["import", BUNDLE]).contains("error[AUDIENCE]"));
    sandbox.must(&[&import[..], &["--receipt", "receipt.json"]].concat());
    let release = json(&sandbox.must(&["release", "show", "-o", "json"]));
    assert_eq!(release["exceptions"]["base"][0]["codes"], serde_json::json!(["AUDIENCE"]));
}
