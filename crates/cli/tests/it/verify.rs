//! `sealock verify`

use crate::packager::Packager;
use crate::sandbox::steady;

const BUNDLE: &str = "plant/plant-1.tar";
const VERIFY: [&str; 6] = ["verify", BUNDLE, "--root", "plant/trust/root.json", "--site", "plant-7"];

#[test]
fn a_good_bundle_is_verified() {
    let _steady = steady();
    let packager = Packager::new();
    packager.build();
    insta::assert_snapshot!(packager.sandbox.see(&VERIFY));
}

#[test]
fn another_sites_bundle_is_refused() {
    let _steady = steady();
    let packager = Packager::new();
    packager.build();
    let args = ["verify", BUNDLE, "--root", "plant/trust/root.json", "--site", "plant-8", "-q"];
    insta::assert_snapshot!(packager.sandbox.see(&args));
}

#[test]
fn an_auditor_can_ask_as_of_another_time() {
    let packager = Packager::new();
    packager.build();
    let args = [&VERIFY[..], &["--at", "2199-01-01T00:00:00Z"]].concat();
    let seen = packager.sandbox.see(&args);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[EXPIRED]"), "{seen}");
}

#[test]
fn another_publishers_root_is_refused() {
    let packager = Packager::new();
    packager.build();
    packager.sandbox.must(&["init", "other", "--unencrypted-keys"]);
    let args = ["verify", BUNDLE, "--root", "other/trust/root.json", "--site", "plant-7"];
    let seen = packager.sandbox.see(&args);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error["), "{seen}");
}

#[test]
fn a_root_with_another_fingerprint_is_refused() {
    let packager = Packager::new();
    packager.build();
    let wrong = "0".repeat(64);
    let seen = packager.sandbox.see(&[&VERIFY[..], &["--fingerprint", &wrong]].concat());
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[FINGERPRINT]"), "{seen}");
}

#[test]
fn away_from_a_station_a_root_is_needed() {
    let packager = Packager::new();
    packager.build();
    insta::assert_snapshot!(packager.sandbox.see(&["verify", BUNDLE]));
}
