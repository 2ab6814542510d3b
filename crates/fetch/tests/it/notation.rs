//! Images that are signed with Notation, by the real one: `SEALOCK_ORACLES=1` runs these where it is in the PATH.

use std::path::PathBuf;

use sealock_bundle::Lock;
use sealock_bundle::lock::{ReferenceKind, VerdictRule};
use sealock_fetch::{FetchError, Progress, Settings, resolve};
use sealock_testkit::image::Image;
use sealock_testkit::notation::Notation;
use sealock_trust::Digest;

use crate::programs::oracles;
use crate::world::{World, spec};

const IMAGE: &str = "quay.io/team/tool";
const IDENTITY: &str = "x509.subject: C=US, ST=WA, L=Seattle, O=Notary, CN=team.example";

fn tool() -> Image {
    Image::new("linux/amd64", &[&[("tool", b"#!/bin/sh")]])
}

fn demanding(identity: &str) -> String {
    let rule = format!("verify: {{notation: {{identity: '{identity}', certificates: keys/team.crt}}}}");
    spec(&format!("  images: [{{ref: '{IMAGE}:latest', {rule}}}]\n"))
}

/// A world with one image that `signer` must have signed.
fn world(signer: &Notation, image: &Image) -> World {
    let world = World::new();
    world.write("keys/team.crt", &signer.certificate());
    world.upstream.push(&format!("{IMAGE}:latest"), image);
    world
}

async fn lock(world: &World, spec: &str, programs: &[PathBuf]) -> Result<Lock, FetchError> {
    let settings = Settings { program_folders: programs.to_vec(), ..world.settings() };
    resolve(&world.request(spec), &settings, &Progress::silent()).await
}

#[tokio::test]
async fn a_good_signature_is_noted_and_travels() {
    let Some(programs) = oracles() else { return };
    let signer = Notation::new("team.example");
    let index = Image::index(&[("linux/amd64", tool())]);
    for (image, format) in [(tool(), "jws"), (tool(), "cose"), (index, "jws")] {
        let world = world(&signer, &image);
        let signature = world.upstream.attach(IMAGE, &signer.sign(&image, format));
        for identity in [IDENTITY, "*"] {
            let lock = lock(&world, &demanding(identity), &programs).await;
            let lock = lock.unwrap_or_else(|error| panic!("{format}: {}", world.told(&error)));
            let judged = lock.references.iter().filter(|reference| reference.kind != ReferenceKind::Attestation);
            for reference in judged {
                let verdict = &reference.verdict;
                assert_eq!(verdict.rule, VerdictRule::Notation, "{}", reference.name);
                assert_eq!(verdict.identity.as_deref(), Some(identity));
                assert_eq!(verdict.key, Some(Digest::sha256(signer.certificate().as_bytes())));
            }
            assert!(lock.references.iter().any(|reference| reference.digest == signature), "the signature travels");
        }
    }
}

#[tokio::test]
async fn what_does_not_hold_stops_the_lock() {
    let Some(programs) = oracles() else { return };
    let (signer, stranger) = (Notation::new("team.example"), Notation::new("team.example"));
    let image = tool();
    let other = Image::new("linux/amd64", &[&[("tool", b"#!/bin/false")]]);
    let refuse = async |world: &World, spec: &str| world.told(&lock(world, spec, &programs).await.unwrap_err());
    let unsigned = world(&signer, &image);
    let mut told = vec![refuse(&unsigned, &demanding(IDENTITY)).await];
    let by_stranger = world(&signer, &image);
    by_stranger.upstream.attach(IMAGE, &stranger.sign(&image, "jws"));
    told.push(refuse(&by_stranger, &demanding(IDENTITY)).await);
    let somebody_else = world(&signer, &image);
    somebody_else.upstream.attach(IMAGE, &signer.sign(&image, "jws"));
    told.push(refuse(&somebody_else, &demanding(&IDENTITY.replace("team", "other"))).await);
    // A signature of another image, made to refer to this one.
    let moved = world(&signer, &image);
    moved.upstream.attach(IMAGE, &signer.sign(&other, "jws").refer_to(&image));
    told.push(refuse(&moved, &demanding(IDENTITY)).await);
    // A good one among bad ones suffices.
    by_stranger.upstream.attach(IMAGE, &signer.sign(&image, "cose"));
    assert!(lock(&by_stranger, &demanding(IDENTITY), &programs).await.is_ok());
    let filters = vec![("sha256:[0-9a-f]{64}", "DIGEST")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(told.join("\n")) });
}

#[tokio::test]
async fn certificates_that_are_none_are_named() {
    let Some(programs) = oracles() else { return };
    let (signer, image) = (Notation::new("team.example"), tool());
    let world = world(&signer, &image);
    world.upstream.attach(IMAGE, &signer.sign(&image, "jws"));
    world.write("keys/team.crt", "no certificate");
    let told = world.told(&lock(&world, &demanding(IDENTITY), &programs).await.unwrap_err());
    assert!(told.starts_with("SPEC: ") && told.contains("FOLDER/keys/team.crt: not usable for a rule"), "{told}");
}

/// Where `notation` is not installed, that is the surroundings' fault, and said as such.
#[tokio::test]
async fn without_the_program_nothing_is_believed() {
    let world = World::new();
    world.write("keys/team.crt", "-----BEGIN CERTIFICATE-----\n");
    let image = tool();
    world.upstream.push(&format!("{IMAGE}:latest"), &image);
    let kind = "application/vnd.cncf.notary.signature";
    let signature = Image::artifact(Some(kind), (kind, b"{}".as_slice().into()), Vec::new(), &serde_json::json!({}));
    world.upstream.attach(IMAGE, &signature.refer_to(&image));
    let error = world.lock(&demanding(IDENTITY)).await.unwrap_err();
    let FetchError::Image { source, .. } = &error else { panic!("{error}") };
    let is_missing = matches!(**source, FetchError::NoTool { tool: "notation", .. });
    // A machine may have one; then it must refuse this.
    let is_refused = matches!(**source, FetchError::BadSignature { .. });
    assert!(is_missing && error.is_environment() || is_refused, "{source}");
}
