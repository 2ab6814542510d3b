//! Vendors: `sealock trust delegate`, what `build` asks of them, and what a site says of them.

use std::process::Output;

use sealock_trust::Digest;

use crate::packager::{Packager, json};
use crate::sandbox::steady;
use crate::site;

const BUNDLE: &str = "plant/plant-1.tar";
const REQUEST: &str = "plant/plant-1.team.request.json";
const DELEGATIONS: &str = "plant/trust/delegations.json";
const WORD: &str = "plant/trust/vendors/team.json";

/// A packager, and the vendor `team` on a machine of its own, in `vendor/`, to whom nothing is delegated yet.
fn strangers() -> Packager {
    let packager = Packager::new();
    make_vendor(&packager);
    packager
}

fn make_vendor(packager: &Packager) {
    packager.sandbox.write("vendor/readme", "");
    let new_key = ["trust", "init", "--new-key", "vendor/team.pem", "--unencrypted-keys"];
    packager.sandbox.must(&new_key);
}

fn delegate(packager: &Packager) -> String {
    let args = ["trust", "delegate", "team", "--key", "vendor/team.pub.pem", "--names", "quay.io/team"];
    packager.sandbox.see(&[&args[..], &["--file", DELEGATIONS]].concat())
}

fn delegated() -> Packager {
    let packager = strangers();
    delegate(&packager);
    packager
}

fn build(packager: &Packager) -> Output {
    packager.sandbox.run(&["build", "--lock", "plant/sealock.lock"])
}

/// What the vendor does with the request that was carried to it.
fn vendor_signs(packager: &Packager, request: &str) {
    let sandbox = &packager.sandbox;
    std::fs::copy(sandbox.join(request), sandbox.join("vendor/request.json")).expect("a request");
    let sign = ["trust", "sign", "vendor/request.json", "--key", "vendor/team.pem", "--to", "vendor/signature.json"];
    sandbox.must(&[&sign[..], &["--yes"]].concat());
}

fn verify(packager: &Packager, bundle: &str) -> Output {
    packager.sandbox.run(&["verify", bundle, "--root", "plant/trust/root.json", "--site", "plant-7"])
}

/// Delegates to the vendor, and builds the packager's next bundle with what the vendor vouches for.
pub fn delegated_bundle(packager: &Packager, bundle: &str) {
    make_vendor(packager);
    delegate(packager);
    packager.build();
    vendor_signs(packager, &bundle.replace(".tar", ".team.request.json"));
    packager.sandbox.must(&["trust", "sign", bundle, "--add", "vendor/signature.json"]);
}

/// Delegated, built, signed by both.
fn whole() -> Packager {
    let packager = delegated();
    packager.build();
    vendor_signs(&packager, REQUEST);
    packager.sandbox.must(&["trust", "sign", BUNDLE, "--add", "vendor/signature.json"]);
    packager
}

#[test]
fn a_publisher_delegates_lists_and_takes_back() {
    let _steady = steady();
    let packager = strangers();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("nothing_delegated", sandbox.see(&["trust", "delegate", "--file", DELEGATIONS]));
    insta::assert_snapshot!("delegated", delegate(&packager));
    let file = sandbox.read(DELEGATIONS);
    assert!(delegate(&packager).contains("is unchanged"));
    assert_eq!(sandbox.read(DELEGATIONS), file);
    insta::assert_snapshot!("listed", sandbox.see(&["trust", "delegate", "--file", DELEGATIONS]));

    let key = ["--key", "vendor/team.pub.pem", "--file", DELEGATIONS];
    let overlapping = [&["trust", "delegate", "evil", "--names", "quay.io/team/app"][..], &key].concat();
    insta::assert_snapshot!("overlapping", sandbox.see(&overlapping));
    let everything = [&["trust", "delegate", "evil", "--names", "*"][..], &key].concat();
    assert_eq!(sandbox.run(&everything).status.code(), Some(2));
    let own_key = ["trust", "delegate", "own", "--names", "quay.io/own", "--key", "plant/keys/publisher.pem"];
    let seen = sandbox.see(&[&own_key[..], &["--file", DELEGATIONS, "--dry-run"]].concat());
    assert!(seen.contains("one person then signs for both") && seen.contains("would be written"), "{seen}");
    assert_eq!(sandbox.read(DELEGATIONS), file);

    insta::assert_snapshot!(
        "taken_back",
        sandbox.see(&["trust", "delegate", "team", "--remove", "--file", DELEGATIONS])
    );
}

#[test]
fn a_vendor_vouches_for_its_artifacts_on_its_own_machine() {
    let _steady = steady();
    let packager = delegated();
    let sandbox = &packager.sandbox;
    packager.lock();
    insta::assert_snapshot!("built", sandbox.seen(&build(&packager)));
    let seen = sandbox.seen(&verify(&packager, BUNDLE));
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[UNSIGNED]"), "{seen}");

    insta::assert_snapshot!("shown_to_the_vendor", sandbox.see(&["trust", "sign", REQUEST, "--dry-run"]));
    let by_publisher = ["trust", "sign", REQUEST, "--key", "plant/keys/publisher.pem", "--yes"];
    assert_eq!(sandbox.run(&by_publisher).status.code(), Some(3), "the publisher does not speak for the vendor");
    vendor_signs(&packager, REQUEST);
    insta::assert_snapshot!("put_together", sandbox.see(&["trust", "sign", BUNDLE, "--add", "vendor/signature.json"]));
    insta::assert_snapshot!("verified", sandbox.seen(&verify(&packager, BUNDLE)));
    insta::assert_snapshot!("inspected", sandbox.see(&["inspect", BUNDLE, "--long"]));
    assert!(sandbox.read(WORD).contains("quay.io/team/app:v1"), "it is kept for later bundles");
}

#[test]
fn a_site_takes_it_in_and_says_who_vouched_for_what() {
    let packager = whole();
    let sandbox = &packager.sandbox;
    let _steady = steady();
    site::spec(sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let fingerprint = Digest::sha256(sandbox.read("plant/trust/root.json").as_bytes()).to_string();
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &fingerprint]);
    sandbox.must(&["import", BUNDLE]);
    insta::assert_snapshot!("released", sandbox.see(&["release", "show"]));
    let shown = json(&sandbox.must(&["release", "show", "-o", "json"]));
    let vendors: Vec<_> =
        shown["references"].as_array().expect("references").iter().map(|one| &one["vendor"]).collect();
    assert!(vendors.contains(&&"team".into()) && vendors.contains(&&serde_json::Value::Null), "{vendors:?}");
}

#[test]
fn what_the_vendor_signed_once_serves_the_next_bundle() {
    let packager = whole();
    let sandbox = &packager.sandbox;
    sandbox.must(&["lock", "-f", "plant/sealock.yaml", "--renew"]);
    let built = json(&sandbox.must(&["build", "--lock", "plant/sealock.lock", "-o", "json"]));
    assert_eq!((built["sequence"].as_u64(), built["vendors"][0]["met"].as_bool()), (Some(2), Some(true)), "{built}");
    assert!(!sandbox.join("plant/plant-2.team.request.json").exists(), "nobody is asked");
    assert!(verify(&packager, "plant/plant-2.tar").status.success());
    let diff = json(&sandbox.must(&["diff", BUNDLE, "plant/plant-2.tar", "--unverified", "-o", "json"]));
    assert_eq!(diff["new"]["vendors"].as_array().map(Vec::len), Some(1));

    // Elsewhere it is not known: then the vendor is asked.
    std::fs::remove_file(sandbox.join(WORD)).expect("a file");
    sandbox.must(&["lock", "-f", "plant/sealock.yaml", "--renew"]);
    sandbox.must(&["build", "--lock", "plant/sealock.lock"]);
    assert!(sandbox.join("plant/plant-3.team.request.json").exists());
}

#[test]
fn an_approver_sees_a_vendor_come_and_go() {
    let _steady = steady();
    let packager = whole();
    let sandbox = &packager.sandbox;
    sandbox.must(&["trust", "delegate", "team", "--remove", "--file", DELEGATIONS]);
    let stale = build(&packager);
    let seen = sandbox.seen(&stale);
    assert!(stale.status.code() == Some(1) && seen.contains("was changed after the lock was made"), "{seen}");
    // The second lock is a minute younger, whatever the clock does: the diff has a line per time that changed.
    let issued = jiff::Timestamp::now().as_second() + 60;
    let mut lock = sandbox.command(&["lock", "-f", "plant/sealock.yaml"]);
    let locked = lock.env("SOURCE_DATE_EPOCH", issued.to_string()).output().expect("the command runs");
    assert!(locked.status.success(), "{}", sandbox.seen(&locked));
    assert!(build(&packager).status.success());
    let args = ["diff", BUNDLE, "plant/plant-2.tar", "--unverified"];
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("keys [0-9a-f]{8} for", "keys [KEY] for");
    settings.bind(|| insta::assert_snapshot!("vendor_lost", sandbox.see(&args)));
    let args = ["diff", "plant/plant-2.tar", BUNDLE, "--unverified", "-o", "json"];
    let codes = json(&sandbox.must(&args))["alerts"].to_string();
    assert!(codes.contains("vendor-new"), "{codes}");
}

#[test]
fn exports_are_the_same_whoever_has_signed() {
    let packager = delegated();
    let sandbox = &packager.sandbox;
    packager.build();
    let first = sandbox.read(REQUEST);
    std::fs::remove_file(sandbox.join(REQUEST)).expect("a request");
    let exported = json(&sandbox.must(&["trust", "export", BUNDLE, "-o", "json"]));
    assert_eq!((exported["vendors"][0]["vendor"].as_str(), sandbox.read(REQUEST)), (Some("team"), first));
    // A vendor who has the bundle and the key at hand signs at once.
    sandbox.must(&["trust", "sign", BUNDLE, "--key", "vendor/team.pem", "--yes"]);
    assert!(verify(&packager, BUNDLE).status.success());
}
