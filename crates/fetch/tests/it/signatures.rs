//! Upstream signatures by key.

use sealock_bundle::lock::VerdictRule;
use sealock_testkit::cosign::Cosign;
use sealock_trust::Digest;

use crate::world::{World, spec};

const IMAGE: &str = "quay.io/team/tool";

fn signed_by(key: &Cosign) -> (World, Digest, String) {
    let world = World::new();
    world.write("keys/tool.pub", &key.public_pem());
    let images = corpus_image(&world);
    (world, images, spec(&format!("  images: [{{ref: '{IMAGE}:latest', verify: {{key: keys/tool.pub}}}}]\n")))
}

fn corpus_image(world: &World) -> Digest {
    let image = sealock_testkit::image::Image::new("linux/amd64", &[&[("tool", b"#!/bin/sh")]]);
    world.upstream.push(&format!("{IMAGE}:latest"), &image)
}

#[tokio::test]
async fn a_good_signature_is_noted_and_travels() {
    let key = Cosign::generate();
    let (world, digest, spec) = signed_by(&key);
    world.upstream.push(&format!("{IMAGE}:{}", Cosign::tag(&digest)), &key.sign(IMAGE, &digest));
    let lock = world.lock(&spec).await.unwrap_or_else(|error| panic!("{}", world.told(&error)));
    assert_eq!(lock.references.len(), 2);
    for reference in &lock.references {
        assert_eq!(reference.verdict.rule, VerdictRule::Key);
        assert_eq!(reference.verdict.key, Some(Digest::sha256(key.public_pem().as_bytes())));
    }
    assert!(
        lock.references.iter().any(|reference| reference.name.as_str() == format!("{IMAGE}:{}", Cosign::tag(&digest)))
    );
}

#[tokio::test]
async fn no_signature_another_key_another_image() {
    let key = Cosign::generate();
    let (world, digest, spec) = signed_by(&key);
    let mut complaints = vec![world.complaint(&spec).await];
    let signature = format!("{IMAGE}:{}", Cosign::tag(&digest));
    world.upstream.push(&signature, &Cosign::generate().sign(IMAGE, &digest));
    complaints.push(world.complaint(&spec).await);
    world.upstream.push(&signature, &key.sign(IMAGE, &Digest::sha256(b"another")));
    complaints.push(world.complaint(&spec).await);
    world.write("keys/tool.pub", "not a key");
    complaints.push(world.complaint(&spec).await);
    insta::with_settings!({filters => vec![("sha256[:-][0-9a-f]{64}", "DIGEST")]}, {
        insta::assert_snapshot!(complaints.join("\n"));
    });
}
