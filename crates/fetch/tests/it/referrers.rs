//! What refers to an image travels along: how much of it, and how it is bounded.

use sealock_bundle::Lock;
use sealock_bundle::lock::{ReferenceKind, VerdictRule};
use sealock_testkit::cosign::{Cosign, attachment, statement};
use sealock_testkit::image::{Image, bytes_of};
use serde_json::json;

use crate::world::{World, spec};

const IMAGE: &str = "quay.io/team/tool";

/// An index of two platforms, with a signature, an attestation of cosign's first form, and one that refers to a platform.
fn world() -> World {
    let world = World::new();
    let key = Cosign::generate();
    let amd = Image::new("linux/amd64", &[&[("tool", b"amd64")]]);
    let arm = Image::new("linux/arm64", &[&[("tool", b"arm64")]]);
    let index = Image::index(&[("linux/amd64", amd.clone()), ("linux/arm64", arm)]);
    world.upstream.push(&format!("{IMAGE}:v1"), &index);
    world.upstream.attach(IMAGE, &attachment(&key.bundle(&index.digest), &index));
    let hex = index.digest.hex();
    world.upstream.push(&format!("{IMAGE}:sha256-{hex}.sig"), &key.sign(IMAGE, &index.digest));
    world.upstream.push(&format!("{IMAGE}:sha256-{hex}.att"), &sbom(b"in cosign's first form"));
    let provenance = statement(&amd.digest, "https://slsa.dev/provenance/v1");
    world.upstream.attach(IMAGE, &attachment(&key.statement_bundle(&provenance), &amd));
    world.upstream.attach(IMAGE, &sbom(b"{}").refer_to(&amd));
    world
}

fn sbom(content: &'static [u8]) -> Image {
    let layers = vec![("application/spdx+json".to_owned(), content.into())];
    let config = ("application/vnd.oci.empty.v1+json", bytes_of(&json!({})));
    Image::artifact(Some("application/spdx+json"), config, layers, &json!({}))
}

fn wanted(referrers: &str) -> String {
    let image = format!("  images: [{{ref: '{IMAGE}:v1', verify: {{unsigned: 'a test'}}}}]\n");
    spec(&format!("{image}  referrers: {referrers}\n"))
}

async fn locked(world: &World, referrers: &str) -> Lock {
    world.lock(&wanted(referrers)).await.unwrap_or_else(|error| panic!("{}", world.told(&error)))
}

fn carried(lock: &Lock) -> usize {
    let referrers = lock.references.iter().filter(|reference| reference.kind == ReferenceKind::Referrer);
    referrers.inspect(|reference| assert_eq!(reference.verdict.rule, VerdictRule::Referrer)).count()
}

#[tokio::test]
async fn all_signatures_only_or_nothing() {
    let world = world();
    assert_eq!(carried(&locked(&world, "all").await), 5);
    assert_eq!(carried(&locked(&world, "signatures").await), 2);
    world.upstream.take_seen();
    assert_eq!(carried(&locked(&world, "none").await), 0);
    assert!(world.upstream.take_seen().iter().all(|seen| !seen.target.contains("/referrers/")));
}

#[tokio::test]
async fn the_same_upstream_gives_the_same_lock() {
    let world = world();
    let one = locked(&world, "all").await.to_bytes().unwrap();
    assert_eq!(one, locked(&world, "all").await.to_bytes().unwrap());
}

#[tokio::test]
async fn what_is_listed_and_does_not_refer_stays_behind() {
    let world = world();
    world.upstream.content(|content| content.without_referrers = true);
    let index = world.upstream.content(|content| content.digest_of(IMAGE, "v1")).unwrap();
    let stranger = sbom(b"about something else");
    let tag = index.to_string().replace(':', "-");
    world.upstream.push(&format!("{IMAGE}:{tag}"), &Image::index(&[("unknown/unknown", stranger)]));
    assert_eq!(carried(&locked(&world, "all").await), 2);
}

#[tokio::test]
async fn too_much_is_refused() {
    let world = world();
    let image = Image::new("linux/amd64", &[&[("tool", b"popular")]]);
    world.upstream.push(&format!("{IMAGE}:v1"), &image);
    for number in 0..130_u32 {
        let config = ("application/vnd.oci.empty.v1+json", bytes_of(&json!({})));
        let scan = Image::artifact(Some("application/x.scan"), config, Vec::new(), &json!({"n": number.to_string()}));
        world.upstream.attach(IMAGE, &scan.refer_to(&image));
    }
    let complaint = world.complaint(&wanted("all")).await;
    insta::with_settings!({filters => vec![("sha256:[0-9a-f]{64}", "DIGEST")]}, {
        insta::assert_snapshot!(complaint);
    });
    assert_eq!(carried(&locked(&world, "none").await), 0);
}

#[tokio::test]
async fn rules_that_fit_equally_well_must_agree() {
    let world = world();
    let rules = "  verify:\n    - {match: 'quay.io/team/*', unsigned: 'one'}\n    - {match: '*.io/team/tool*', unsigned: 'another'}\n";
    world.write(
        "manifests/10-web.yaml",
        &crate::world::DEPLOYMENT.replace("ghcr.io/team/web:1.0.0", "quay.io/team/tool"),
    );
    insta::assert_snapshot!(world.complaint(&spec(&format!("{rules}  manifests: [manifests/]\n"))).await);
}
