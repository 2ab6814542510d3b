//! Revocation lists that travel in bundles, and an older trust state that two people settle.

use std::path::Path;

use sealock_testkit::corpus;

use crate::import;
use crate::packager::{Packager, SPEC, json};
use crate::sandbox::{Sandbox, steady};

/// `trust revoke` by the revoker that `init` made, in the list that `build` finds.
fn revoke(sandbox: &Sandbox, more: &[&str]) {
    let list = ["trust", "revoke", "--list", "plant/trust/revocations.json", "--root", "plant/trust/root.json"];
    sandbox.must(&[&list[..], &["--key", "plant/keys/revoker.pem"], more].concat());
}

/// Something is new, so that there is a second bundle.
fn build_the_next(packager: &Packager) {
    packager.upstream.push("quay.io/team/more:1", &corpus::images(3, 300_000)[2]);
    let more = "    - {ref: \"quay.io/team/more:1\", verify: {unsigned: \"made for this test\"}}\n";
    packager.sandbox.write("plant/sealock.yaml", format!("{SPEC}{more}"));
    packager.build();
}

/// The station serves the first bundle; something that no bundle has is revoked, and the second bundle is built.
fn two_bundles() -> Packager {
    let packager = import::station("plant-7");
    packager.sandbox.must(&["import", "plant/plant-1.tar"]);
    let revoked = format!("sha256:{}", "5".repeat(64));
    revoke(&packager.sandbox, &["--digest", &revoked, "--reason", "it calls home"]);
    build_the_next(&packager);
    packager
}

fn web(sandbox: &Sandbox) -> String {
    let release = json(&sandbox.must(&["release", "show", "-o", "json"]));
    let references = release["references"].as_array().expect("references");
    let web = references.iter().find(|reference| reference["name"] == "docker.io/library/web:2").expect("the image");
    web["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn the_newest_list_travels_in_the_next_bundle() {
    let _steady = steady();
    // Documents with keys and times in them differ by a byte from run to run.
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+(\.\d)? (B|KiB|MiB)", "[SIZE]");
    let _sizes = settings.bind_to_scope();
    let packager = two_bundles();
    let sandbox = &packager.sandbox;
    let inspected = json(&sandbox.must(&["inspect", "plant/plant-2.tar", "-o", "json"]));
    assert_eq!(inspected["revocations"]["entries"][0]["reason"], "it calls home");
    let seen = sandbox.see(&["inspect", "plant/plant-2.tar", "--long"]);
    assert!(seen.contains("revocations    list 1, 1 revoked") && seen.contains("it calls home"), "{seen}");
    insta::assert_snapshot!("carried_verified", sandbox.see(&["verify", "plant/plant-2.tar"]));
    insta::assert_snapshot!("carried_imported", sandbox.see(&["import", "plant/plant-2.tar"]));
    let known = json(&sandbox.must(&["trust", "show", "-o", "json"]));
    assert_eq!(known["revocations"][0]["version"], 1);

    let diff = ["diff", "plant/plant-1.tar", "plant/plant-2.tar", "--root", "plant/trust/root.json", "-q"];
    let diff = json(&sandbox.must(&[&diff[..], &["-o", "json"]].concat()));
    let codes: Vec<&str> =
        diff["alerts"].as_array().expect("alerts").iter().filter_map(|a| a["code"].as_str()).collect();
    assert!(codes.contains(&"revokes"), "{codes:?}");
    let back = ["diff", "plant/plant-2.tar", "plant/plant-1.tar", "--root", "plant/trust/root.json", "-q"];
    let back = sandbox.must(&back);
    assert!(back.contains("revocation-dropped") || back.contains("is revoked no longer"), "{back}");
}

#[test]
fn a_lock_that_holds_what_was_revoked_is_not_built() {
    let _steady = steady();
    let packager = import::station("plant-7");
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", "plant/plant-1.tar"]);
    revoke(sandbox, &["--digest", &web(sandbox), "--reason", "it calls home"]);
    packager.lock();
    insta::assert_snapshot!("not_built", sandbox.see(&["build", "--lock", "plant/sealock.lock"]));
    assert!(!sandbox.join("plant/plant-2.tar").exists());
}

#[test]
fn a_list_that_too_few_have_signed_is_not_built_in() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    packager.lock();
    let list = ["trust", "revoke", "--list", "plant/trust/revocations.json", "--root", "plant/trust/root.json"];
    sandbox.must(&[&list[..], &["--renew", "--key", "plant/keys/publisher.pem"]].concat());
    let seen = sandbox.see(&["build", "--lock", "plant/sealock.lock"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("The next keyholder signs it"), "{seen}");
    revoke(sandbox, &[]);
    sandbox.must(&["build", "--lock", "plant/sealock.lock"]);
}

#[test]
fn a_bundle_that_was_built_before_the_list_says_so_when_it_is_signed_again() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    packager.build();
    revoke(sandbox, &["--renew"]);
    let seen = sandbox.see(&["build", "--lock", "plant/sealock.lock"]);
    assert!(seen.starts_with("exit code: 0\n") && seen.contains("was built before revocation list 1"), "{seen}");
}

#[test]
fn a_refused_bundle_does_not_keep_its_list_back() {
    let _steady = steady();
    let packager = import::station("plant-8");
    let sandbox = &packager.sandbox;
    revoke(sandbox, &["--digest", &format!("sha256:{}", "5".repeat(64)), "--reason", "it calls home"]);
    build_the_next(&packager);
    insta::assert_snapshot!("refused_and_kept", sandbox.see(&["import", "plant/plant-2.tar"]));
    let known = json(&sandbox.must(&["trust", "show", "-o", "json"]));
    assert_eq!(known["revocations"][0]["entries"][0]["reason"], "it calls home");
}

#[test]
fn releases_mark_what_was_revoked() {
    let _steady = steady();
    let packager = import::station("plant-7");
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", "plant/plant-1.tar"]);
    revoke(sandbox, &["--digest", &web(sandbox), "--reason", "it calls home"]);
    sandbox.must(&["import", "plant/trust/revocations.json"]);
    insta::assert_snapshot!("release_marked", sandbox.see(&["release", "show"]));
    insta::assert_snapshot!("releases_marked", sandbox.see(&["release", "list"]));
    assert_eq!(json(&sandbox.must(&["release", "list", "-o", "json"]))[0]["revoked"], 1);
}

#[test]
fn a_root_without_a_revoker_gets_one_by_rotation() {
    let sandbox = Sandbox::new();
    for name in ["alice", "pat", "rita"] {
        sandbox.must(&["trust", "init", "--new-key", &format!("{name}.pem"), "--unencrypted-keys"]);
    }
    let init = ["trust", "init", "--root-key", "alice.pem", "--publisher-key", "pat.pub.pem", "--no-revoker", "--yes"];
    sandbox.must(&init);
    let revoke = |root: &str| {
        let what = ["--digest", &format!("sha256:{}", "5".repeat(64)), "--reason", "it calls home"];
        sandbox.run(&[&["trust", "revoke", "--root", root, "--key", "rita.pem"][..], &what].concat())
    };
    assert_eq!(revoke("trust/root.json").status.code(), Some(2), "rita has no say yet");
    sandbox.must(&["trust", "rotate", "--root-key", "alice.pem", "--revoker-key", "rita.pub.pem", "--yes"]);
    let output = revoke("trust/2.root.json");
    assert!(output.status.success(), "{}", sandbox.seen(&output));
}

/// A station with two approvers.
pub fn station_of_two() -> Packager {
    let packager = Packager::new();
    packager.build();
    let sandbox = &packager.sandbox;
    crate::site::spec(sandbox, "plant-7");
    for name in ["one", "two"] {
        sandbox.must(&["trust", "init", "--new-key", &format!("{name}.pem"), "--unencrypted-keys"]);
    }
    let spec = sandbox.read("site.yaml") + "  approvers: [one.pub.pem, two.pub.pem]\n";
    sandbox.write("site.yaml", spec);
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let root = json(&sandbox.must(&["trust", "show", "plant/trust/root.json", "-o", "json"]));
    let fingerprint = root[0]["fingerprint"].as_str().expect("a fingerprint");
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", fingerprint]);
    packager
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", from.display());
}

#[test]
fn a_memory_that_was_put_back_is_told_by_a_generation_kept_elsewhere_and_settled_by_two() {
    let _steady = steady();
    let packager = station_of_two();
    let sandbox = &packager.sandbox;
    copy(&sandbox.join("state"), &sandbox.join("kept"));
    sandbox.must(&["import", "plant/plant-1.tar"]);
    sandbox.must(&["site", "state", "--export", "elsewhere.json"]);
    std::fs::remove_dir_all(sandbox.join("state")).expect("a state");
    copy(&sandbox.join("kept"), &sandbox.join("state"));

    insta::assert_snapshot!("told", sandbox.see(&["site", "state", "--mirror", "elsewhere.json"]));
    assert!(sandbox.see(&["import", "plant/plant-1.tar"]).contains("error[STATE_REGRESSION]"));
    let begin = ["site", "resolve-state", "settle.json", "--reason", "the disk vendor restored it"];
    insta::assert_snapshot!("settle_first", sandbox.see(&[&begin[..], &["--key", "one.pem"]].concat()));
    assert!(sandbox.see(&["import", "plant/plant-1.tar"]).contains("error[STATE_REGRESSION]"));
    let add = ["site", "resolve-state", "settle.json", "--add", "--yes"];
    let stranger = sandbox.run(&[&add[..], &["--key", "plant/keys/root.pem"]].concat());
    assert_eq!(stranger.status.code(), Some(2));
    insta::assert_snapshot!("settle_second", sandbox.see(&[&add[..], &["--key", "two.pem"]].concat()));
    sandbox.must(&["site", "state", "--mirror", "elsewhere.json"]);
    sandbox.must(&["import", "plant/plant-1.tar"]);
    let again = sandbox.run(&[&add[..], &["--key", "two.pem"]].concat());
    assert_eq!(again.status.code(), Some(1), "there is nothing to settle");
}
