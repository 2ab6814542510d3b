//! `sealock inspect`

use crate::packager::{Packager, json};
use crate::sandbox::steady;

#[test]
fn it_shows_what_the_bundle_says() {
    let _steady = steady();
    let packager = Packager::new();
    packager.build();
    insta::assert_snapshot!(packager.sandbox.see(&["inspect", "--long", "plant/plant-1.tar"]));
}

#[test]
fn programs_are_told_that_nothing_is_verified() {
    let packager = Packager::new();
    packager.build();
    let inspected = json(&packager.sandbox.must(&["inspect", "plant/plant-1.tar", "-o", "json"]));
    assert_eq!(inspected["verified"], false);
    assert_eq!(inspected["manifest"]["stream"], "base");
}

#[test]
fn what_is_no_bundle_is_refused() {
    let packager = Packager::new();
    packager.sandbox.write("not-a-bundle.tar", "hello");
    let seen = packager.sandbox.see(&["inspect", "not-a-bundle.tar"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("not-a-bundle.tar"), "{seen}");
    let missing = packager.sandbox.see(&["inspect", "missing.tar"]);
    assert!(missing.contains("missing.tar") && !missing.starts_with("exit code: 0"), "{missing}");
}
