//! `sealock release receipt`, `trust enroll --site`, `build --since`, and the import of deltas.

use std::path::Path;

use sealock_testkit::corpus;

use crate::packager::{Packager, json};
use crate::sandbox::steady;
use crate::{import, packager};

const RECEIPT: &str = "plant-7-base-1.receipt.json";
pub const DELTA: &str = "plant/plant-2-delta-plant-7.tar";
pub const SINCE: [&str; 5] = ["build", "--lock", "plant/sealock.lock", "--since", RECEIPT];

/// The first bundle is imported, its receipt is out, and the site's root is enrolled where bundles are made.
pub fn carry_the_first(packager: &Packager) {
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", "plant/plant-1.tar"]);
    sandbox.must(&["release", "receipt"]);
    let shown = json(&sandbox.must(&["site", "show", "-o", "json"]));
    let fingerprint = shown["fingerprint"].as_str().expect("a fingerprint");
    let enroll = ["trust", "enroll", "state/trust/site-root.json", "--site", "--to", "plant/trust/sites"];
    sandbox.must(&[&enroll[..], &["--fingerprint", fingerprint]].concat());
}

/// That, and the spec asks for one image more.
fn after_the_first() -> Packager {
    let packager = import::station("plant-7");
    carry_the_first(&packager);
    packager.upstream.push("quay.io/team/more:1", &corpus::images(3, 300_000)[2]);
    let more = "    - {ref: \"quay.io/team/more:1\", verify: {unsigned: \"made for this test\"}}\n";
    packager.sandbox.write("plant/sealock.yaml", format!("{}{more}", packager::SPEC));
    packager.lock();
    packager
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

/// Blanks out sizes too: those of JSON documents with times and keys in them differ by a byte.
pub fn blank() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+(\.\d)? (B|KiB|MiB)", "[SIZE]");
    settings.bind_to_scope()
}

#[test]
fn a_receipt_travels_out_and_a_delta_in() {
    let (_steady, _blank) = (steady(), blank());
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("receipt", sandbox.see(&["release", "receipt"]));
    insta::assert_snapshot!("dry_run", sandbox.see(&[&SINCE[..], &["--dry-run"]].concat()));
    packager.upstream.take_seen();
    insta::assert_snapshot!("built", sandbox.see(&SINCE));
    let fetched = packager.upstream.take_seen();
    assert_eq!(fetched.iter().filter(|seen| seen.target.contains("/blobs/")).count(), 2, "one layer and one config");
    insta::assert_snapshot!("inspected", sandbox.see(&["inspect", DELTA]));
    let verified = sandbox.see(&["verify", DELTA]);
    assert!(verified.starts_with("exit code: 0\n") && verified.contains("a delta: 9 blobs ("), "{verified}");
    insta::assert_snapshot!("imported", sandbox.see(&["import", DELTA]));
    let release = json(&sandbox.must(&["release", "show", "-o", "json"]));
    assert_eq!(release["references"].as_array().map(Vec::len), Some(4), "three images, and the summary");
    let newest = json(&sandbox.must(&["release", "receipt", "-o", "json"]));
    assert_eq!((&newest["sequence"], newest["held"].as_array().map(Vec::len)), (&2.into(), Some(2)));
}

#[test]
fn the_same_lock_and_receipt_make_the_same_delta() {
    let packager = after_the_first();
    for name in ["one.tar", "two.tar"] {
        packager.sandbox.must(&[&SINCE[..], &["--to", name]].concat());
    }
    let bytes = |name: &str| std::fs::read(packager.sandbox.join(name)).expect("a bundle");
    assert!(bytes("one.tar") == bytes("two.tar"));
    packager.sandbox.must(&["build", "--lock", "plant/sealock.lock"]);
    assert!(size(&packager.sandbox.join("one.tar")) < size(&packager.sandbox.join("plant/plant-2.tar")));
}

#[test]
fn what_the_site_lost_is_wanted_and_then_carried() {
    let (_steady, _blank) = (steady(), blank());
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    sandbox.must(&SINCE);
    let (layer, _) = corpus::images(1, 300_000).remove(0).blobs.remove(1);
    let lost = sandbox.join("state/store/blobs/sha256").join(layer.hex());
    std::fs::remove_file(&lost).expect("the layer that all images share");

    let before = import::store(sandbox);
    insta::assert_snapshot!("wanted", sandbox.see(&["import", DELTA, "--want-list", "want.json"]));
    for dry_run in [&[][..], &["--dry-run"]] {
        let output = sandbox.run(&[&["import", DELTA, "-o", "json"], dry_run].concat());
        assert_eq!(output.status.code(), Some(3));
        let wanted = json(&String::from_utf8(output.stdout).expect("text"));
        assert_eq!(wanted, json(&sandbox.read("want.json")));
        assert_eq!(wanted["blobs"][0]["needed-by"].as_array().map(Vec::len), Some(3));
    }
    assert_eq!(before, import::store(sandbox));

    let again = [&SINCE[..], &["--want", "want.json", "--to", "again.tar"]].concat();
    sandbox.must(&again);
    sandbox.must(&["import", "again.tar"]);
    assert!(lost.exists());
}

#[test]
fn an_unknown_base_is_told_and_given_by_its_bundle_or_its_manifest() {
    let _steady = steady();
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    std::fs::rename(sandbox.join("plant/sealock.manifests"), sandbox.join("elsewhere")).expect("manifests");
    insta::assert_snapshot!(sandbox.see(&SINCE));
    for (name, base) in [("bundle.tar", "plant/plant-1.tar"), ("folder.tar", "elsewhere")] {
        sandbox.must(&[&SINCE[..], &["--base", base, "--to", name]].concat());
    }
    let bytes = |name: &str| std::fs::read(sandbox.join(name)).expect("a bundle");
    assert!(bytes("bundle.tar") == bytes("folder.tar"));
}

#[test]
fn a_receipt_of_a_site_that_nobody_enrolled_is_not_believed() {
    let _steady = steady();
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    std::fs::rename(sandbox.join("plant/trust/sites"), sandbox.join("sites")).expect("site roots");
    insta::assert_snapshot!(sandbox.see(&SINCE));
    sandbox.must(&[&SINCE[..], &["--site-root", "sites/plant-7.json"]].concat());

    let forged = sandbox.read(RECEIPT).replace("\"sig\":\"", "\"sig\":\"AAAA");
    sandbox.write("forged.json", forged);
    let args = ["build", "--lock", "plant/sealock.lock", "--since", "forged.json", "--site-root", "sites/plant-7.json"];
    assert_eq!(sandbox.run(&args).status.code(), Some(3));
}

#[test]
fn a_site_root_is_enrolled_by_its_fingerprint_and_only_its_successor_replaces_it() {
    let _steady = steady();
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    let enroll = |root: &str| {
        let sum = sealock_trust::Digest::sha256(&std::fs::read(sandbox.join(root)).expect("a root"));
        sandbox.see(&["trust", "enroll", root, "--site", "--to", "plant/trust/sites", "--fingerprint", sum.hex()])
    };
    insta::assert_snapshot!("enrolled_site", enroll("state/trust/site-root.json"));
    std::fs::remove_dir_all(sandbox.join("state")).expect("a station");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    insta::assert_snapshot!("another_root_of_the_site", enroll("state/trust/site-root.json"));
    let wrong = "0".repeat(64);
    let args = ["trust", "enroll", "state/trust/site-root.json", "--site", "--to", "other", "--fingerprint", &wrong];
    assert_eq!(sandbox.run(&args).status.code(), Some(3));
    assert!(!sandbox.join("other").exists());
}

#[test]
fn before_the_first_import_there_is_no_receipt() {
    let packager = import::station("plant-7");
    insta::assert_snapshot!(packager.sandbox.see(&["release", "receipt"]));
}
