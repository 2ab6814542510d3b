//! `sealock inspect`

use sealock_testkit::corpus;
use sealock_testkit::image::Image;
use serde_json::json as value;

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

/// An SBOM as a referrer of the image `web:2`, beside another image that has none.
#[test]
fn licences_are_summed_up_from_sboms() {
    let _steady = steady();
    let packager = Packager::new();
    let sbom = value!({"spdxVersion": "SPDX-2.3", "packages": [
        {"name": "openssl", "versionInfo": "3.0.1", "licenseDeclared": "Apache-2.0"},
        {"name": "zlib", "versionInfo": "1.3", "licenseConcluded": "Zlib"},
        {"name": "curl", "versionInfo": "8", "licenseDeclared": "\u{1b}[2Jcurl"},
        {"name": "left-pad", "versionInfo": "1", "licenseDeclared": "NOASSERTION"},
    ]});
    let kind = "application/spdx+json";
    let config = ("application/vnd.oci.empty.v1+json", b"{}".to_vec().into());
    let layers = vec![(kind.to_owned(), serde_json::to_vec(&sbom).expect("JSON").into())];
    let subject = &corpus::images(2, 300_000)[1];
    let image = Image::artifact(Some(kind), config, layers, &value!({})).refer_to(subject);
    packager.upstream.attach("docker.io/library/web", &image);
    packager.build();
    let seen = packager.sandbox.see(&["inspect", "--licences", "plant/plant-1.tar"]);
    insta::assert_snapshot!(seen);
    let inspected = json(&packager.sandbox.must(&["inspect", "--licences", "plant/plant-1.tar", "-o", "json"]));
    assert_eq!(inspected["licences"]["licences"][0]["packages"], value!(["openssl"]));
    assert_eq!(inspected["licences"]["without_sbom"], value!(["quay.io/team/app:v1"]));
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
