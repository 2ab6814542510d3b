//! Signatures on their way: from an upstream through lock, bundle and import to whoever asks the site registry.

use sealock_testkit::corpus;
use sealock_testkit::cosign::{Cosign, attachment, statement};
use sealock_trust::Digest;
use serde_json::Value;

use crate::import::believe;
use crate::packager::{Packager, SPEC, json};
use crate::serve::{Serving, get, serve};

const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An image, signed in both of cosign's forms, with its provenance; the spec demands the key.
pub fn signed() -> (Packager, Digest) {
    let packager = Packager::new();
    let key = Cosign::generate();
    let image = corpus::images(2, 300_000)[1].clone();
    let repository = "docker.io/library/web";
    packager
        .upstream
        .push(&format!("{repository}:{}", Cosign::tag(&image.digest)), &key.sign(repository, &image.digest));
    packager.upstream.attach(repository, &attachment(&key.bundle(&image.digest), &image));
    let provenance = key.statement_bundle(&statement(&image.digest, "https://slsa.dev/provenance/v1"));
    packager.upstream.attach(repository, &attachment(&provenance, &image));
    packager.sandbox.write("plant/keys/web.pub", key.public_pem());
    let rule = "web:2\", verify: {key: keys/web.pub}}";
    let spec = SPEC.replace("web:2\", verify: {unsigned: \"made for this test\"}}", rule);
    packager.sandbox.write("plant/sealock.yaml", spec);
    (packager, image.digest)
}

/// Builds the bundle, imports it at a site and serves the release, until what is returned goes.
fn carry_and_serve(packager: &Packager) -> (u16, Serving) {
    packager.build();
    let port = believe(&packager.sandbox, "plant-7");
    packager.sandbox.must(&["import", "plant/plant-1.tar"]);
    (port, serve(&packager.sandbox))
}

#[test]
fn what_was_signed_outside_can_be_verified_inside() {
    let (packager, digest) = signed();
    let sandbox = &packager.sandbox;
    let (port, _serving) = carry_and_serve(&packager);
    let path = format!("/v2/docker.io/library/web/referrers/{digest}");
    let index = json(&get(sandbox, port, &path, &[]));
    let listed = index["manifests"].as_array().expect("a list");
    assert_eq!(listed.len(), 2, "{index}");
    let signature = listed.iter().find(|entry| {
        entry["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    });
    let signature = signature.expect("a signature");
    assert_eq!(signature["artifactType"], BUNDLE_TYPE);
    let head = get(
        sandbox,
        port,
        &format!("{path}?artifactType={BUNDLE_TYPE}"),
        &["--dump-header", "-", "--output", "/dev/null"],
    );
    assert!(head.to_lowercase().contains("oci-filters-applied: artifacttype"), "{head}");
    let none = json(&get(sandbox, port, &format!("{path}?artifactType=text/x"), &[]));
    assert_eq!(none["manifests"], Value::Array(Vec::new()));

    let manifest = format!("/v2/docker.io/library/web/manifests/{}", signature["digest"].as_str().expect("a digest"));
    let manifest = json(&get(sandbox, port, &manifest, &[]));
    let layer =
        format!("/v2/docker.io/library/web/blobs/{}", manifest["layers"][0]["digest"].as_str().expect("a digest"));
    assert_eq!(json(&get(sandbox, port, &layer, &[]))["mediaType"], BUNDLE_TYPE);
    let tag = format!("/v2/docker.io/library/web/manifests/{}", Cosign::tag(&digest));
    let simple = json(&get(sandbox, port, &tag, &[]));
    assert!(simple["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"].is_string());
}

#[test]
fn the_verdicts_are_restated_and_served() {
    let (packager, digest) = signed();
    let sandbox = &packager.sandbox;
    let (port, _serving) = carry_and_serve(&packager);
    let name = "/v2/attestations/plant/verification-summary";
    let manifest = json(&get(sandbox, port, &format!("{name}/manifests/1"), &[]));
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let summary = json(&get(sandbox, port, &format!("{name}/blobs/{layer}"), &[]));
    assert_eq!(summary["predicateType"], "https://slsa.dev/verification_summary/v1");
    let verdicts = &summary["predicate"]["https://sealock.example/verdicts/v1"]["verdicts"];
    let web = verdicts.as_array().expect("a list").iter().find(|verdict| verdict["digest"] == digest.to_string());
    assert_eq!(web.expect("the image")["verdict"]["rule"], "key");
    assert!(summary["subject"].as_array().expect("a list").len() == 2, "{summary}");
}

#[test]
fn a_verdict_that_was_edited_is_refused() {
    let (packager, _) = signed();
    packager.lock();
    let lock = packager.sandbox.read("plant/sealock.lock");
    packager.sandbox.write("plant/sealock.lock", lock.replace("made for this test", "reviewed by somebody"));
    let output = packager.sandbox.run(&["build", "--lock", "plant/sealock.lock"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(packager.sandbox.seen(&output).contains("its verification summary is not what its verdicts make"));
}
