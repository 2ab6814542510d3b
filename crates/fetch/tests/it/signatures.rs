//! Upstream signatures by key and by identity, in both of cosign's forms.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_bundle::Lock;
use sealock_bundle::lock::{ReferenceKind, VerdictRule};
use sealock_testkit::cosign::{self, Cosign, Kind, SIGN, attachment, simple_image, simple_payload, statement};
use sealock_testkit::image::Image;
use sealock_testkit::sigstore::Sigstore;
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::world::{World, spec};

/// The code that is expected, and what is signed instead.
type Fault<'a> = (&'a str, &'a dyn Fn(&Digest) -> Value);

const IMAGE: &str = "quay.io/team/tool";
const WORKFLOW: &str = "https://ci.example/team/tool/release@refs/tags/v1";
const ISSUER: &str = "https://issuer.example";
const BY_KEY: &str = "  images: [{ref: 'quay.io/team/tool:latest', verify: {key: keys/tool.pub}}]\n";

fn by_key() -> String {
    spec(BY_KEY)
}

/// A world with one image that `key` must have signed.
fn world(key: &Cosign) -> (World, Image) {
    let world = World::new();
    world.write("keys/tool.pub", &key.public_pem());
    let image = tool(b"#!/bin/sh");
    world.upstream.push(&format!("{IMAGE}:latest"), &image);
    (world, image)
}

fn tool(content: &[u8]) -> Image {
    Image::new("linux/amd64", &[&[("tool", content)]])
}

/// A world with one image that an identity must have signed, and the spec that demands it.
fn keyless(sigstore: &Sigstore, rule: &str) -> (World, Image, String) {
    let (world, image) = world(&Cosign::generate());
    world.write("trust/root.json", &sigstore.trusted_root().to_string());
    let rule = format!("{{{rule}, issuer: '{ISSUER}', trustedRoot: trust/root.json}}");
    (world, image, spec(&format!("  images: [{{ref: '{IMAGE}:latest', verify: {{keyless: {rule}}}}}]\n")))
}

async fn locked(world: &World, spec: &str) -> Lock {
    world.lock(spec).await.unwrap_or_else(|error| panic!("{}", world.told(&error)))
}

macro_rules! assert_complaints {
    ($complaints:expr) => {
        insta::with_settings!({filters => vec![("sha256[:-][0-9a-f]{64}", "DIGEST"), ("[0-9a-f]{64}", "DIGEST")]}, {
            insta::assert_snapshot!($complaints.join("\n"));
        });
    };
}

#[tokio::test]
async fn a_good_signature_is_noted_and_travels() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    let tag = Cosign::tag(&image.digest);
    world.upstream.push(&format!("{IMAGE}:{tag}"), &key.sign(IMAGE, &image.digest));
    let lock = locked(&world, &by_key()).await;
    assert_eq!(lock.references.len(), 3);
    for reference in lock.references.iter().filter(|reference| reference.kind != ReferenceKind::Attestation) {
        assert_eq!(reference.verdict.rule, VerdictRule::Key);
        assert_eq!(reference.verdict.key, Some(Digest::sha256(key.public_pem().as_bytes())));
    }
    let signature =
        lock.references.iter().find(|reference| reference.name.as_str() == format!("{IMAGE}:{tag}")).unwrap();
    assert_eq!((signature.kind, signature.subject.as_ref()), (ReferenceKind::Referrer, Some(&image.digest)));
}

#[tokio::test]
async fn every_kind_of_key_signs_in_both_forms() {
    for kind in [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Rsa] {
        let key = Cosign::of(kind);
        let (simple, image) = world(&key);
        simple.upstream.push(&format!("{IMAGE}:{}", Cosign::tag(&image.digest)), &key.sign(IMAGE, &image.digest));
        assert_eq!(locked(&simple, &by_key()).await.references.len(), 3, "{kind:?}");
        for without_api in [false, true] {
            let (bundled, image) = world(&key);
            let signature = attachment(&key.bundle(&image.digest), &image);
            bundled.upstream.attach(IMAGE, &signature);
            if without_api {
                bundled.upstream.content(|content| content.without_referrers = true);
                let tag = image.digest.to_string().replace(':', "-");
                bundled
                    .upstream
                    .push(&format!("{IMAGE}:{tag}"), &Image::index(&[("unknown/unknown", signature.clone())]));
            }
            let lock = locked(&bundled, &by_key()).await;
            let name = format!("{IMAGE}@{}", signature.digest);
            let carried = lock.references.iter().find(|reference| reference.name.as_str() == name).unwrap();
            assert_eq!(carried.verdict.rule, VerdictRule::Key, "{kind:?}, without the API: {without_api}");
            assert_eq!(carried.subject.as_ref(), Some(&image.digest));
        }
    }
}

#[tokio::test]
async fn a_signature_over_the_manifest_itself_holds() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    let manifest = &image.manifests[0].2;
    world.upstream.attach(IMAGE, &attachment(&key.message_bundle(manifest), &image));
    assert_eq!(locked(&world, &by_key()).await.references.len(), 3);
}

#[tokio::test]
async fn no_signature_another_key_another_image() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    let mut complaints = vec![world.complaint(&by_key()).await];
    let signature = format!("{IMAGE}:{}", Cosign::tag(&image.digest));
    world.upstream.push(&signature, &Cosign::generate().sign(IMAGE, &image.digest));
    complaints.push(world.complaint(&by_key()).await);
    world.upstream.push(&signature, &key.sign(IMAGE, &Digest::sha256(b"another")));
    complaints.push(world.complaint(&by_key()).await);
    world.upstream.push(&signature, &key.sign("quay.io/team/other", &image.digest));
    complaints.push(world.complaint(&by_key()).await);
    world.write("keys/tool.pub", "not a key");
    complaints.push(world.complaint(&by_key()).await);
    assert_complaints!(complaints);
}

#[tokio::test]
async fn what_a_signature_must_say_besides() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    let signature = format!("{IMAGE}:{}", Cosign::tag(&image.digest));
    world.upstream.push(&signature, &key.sign("quay.io/upstream/tool:v1", &image.digest));
    let rule = |more: &str| spec(&BY_KEY.replace("tool.pub", &format!("tool.pub, {more}")));
    let signed_as = "signedAs: ['quay.io/upstream/*']";
    locked(&world, &rule(signed_as)).await;
    locked(&world, &rule(&format!("{signed_as}, annotations: {{stage: prod}}"))).await;
    let mut complaints = vec![world.complaint(&rule("signedAs: ['quay.io/other/*']")).await];
    complaints.push(world.complaint(&rule(&format!("{signed_as}, annotations: {{stage: test}}"))).await);
    assert_complaints!(complaints);
}

/// Bundles that must not be believed, each with the fault put into an otherwise good one.
#[tokio::test]
async fn bundles_that_are_not_what_they_seem() {
    let key = Cosign::generate();
    let other = Digest::sha256(b"another");
    let faults: [Fault<'_>; 7] = [
        ("by another key", &|digest| Cosign::generate().bundle(digest)),
        ("of another image", &|_| key.bundle(&other)),
        ("of a version that needs less proof", &|digest| {
            let mut bundle = key.bundle(digest);
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
            bundle
        }),
        ("of a version that is unknown", &|digest| {
            let mut bundle = key.bundle(digest);
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json".into();
            bundle
        }),
        ("with the log entry of another image", &|digest| {
            let entry = json!({"kind": "dsse", "apiVersion": "0.0.1",
                "spec": {"payloadHash": {"value": other.hex()}, "signatures": [{"signature": "AAAA"}]}});
            let mut bundle = key.bundle(digest);
            bundle["verificationMaterial"]["tlogEntries"] =
                json!([{"canonicalizedBody": STANDARD.encode(entry.to_string())}]);
            bundle
        }),
        ("with a changed payload", &|digest| {
            let mut bundle = key.bundle(&other);
            bundle["dsseEnvelope"]["payload"] = STANDARD.encode(statement(digest, SIGN).to_string()).into();
            bundle
        }),
        ("that is none", &|_| json!({"mediaType": cosign::BUNDLE})),
    ];
    let mut complaints = Vec::new();
    for (name, make) in faults {
        let (world, image) = world(&key);
        world.upstream.attach(IMAGE, &attachment(&make(&image.digest), &image));
        complaints.push(format!("{name}\n{}", world.complaint(&by_key()).await));
    }
    assert_complaints!(complaints);
}

#[tokio::test]
async fn an_attestation_by_the_same_key_is_no_signature() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    let scan = statement(&image.digest, "https://cosign.sigstore.dev/attestation/vuln/v1");
    world.upstream.attach(IMAGE, &attachment(&key.statement_bundle(&scan), &image));
    let mut lying = attachment(&key.statement_bundle(&scan), &image);
    lying = Image { manifests: vec![strip_annotations(&lying)], ..lying };
    lying.digest = lying.manifests[0].0.clone();
    let mut complaints = vec![world.complaint(&by_key()).await];
    world.upstream.attach(IMAGE, &lying);
    complaints.push(world.complaint(&by_key()).await);
    assert_complaints!(complaints);
}

fn strip_annotations(image: &Image) -> (Digest, String, bytes::Bytes) {
    let (_, media_type, bytes) = image.manifests.last().unwrap();
    let mut manifest: Value = serde_json::from_slice(bytes).unwrap();
    manifest.as_object_mut().unwrap().remove("annotations");
    let bytes = sealock_testkit::image::bytes_of(&manifest);
    (Digest::sha256(&bytes), media_type.clone(), bytes)
}

#[tokio::test]
async fn an_identity_signs_as_a_bundle_and_in_the_first_form() {
    let sigstore = Sigstore::new();
    let identity = sigstore.certify(WORKFLOW, ISSUER);
    for rule in [format!("identity: '{WORKFLOW}'"), "identityRegexp: 'https://ci\\.example/team/.*'".to_owned()] {
        let (bundled, image, spec) = keyless(&sigstore, &rule);
        let bundle = sigstore.bundle(&identity, &statement(&image.digest, SIGN));
        bundled.upstream.attach(IMAGE, &attachment(&bundle, &image));
        let lock = locked(&bundled, &spec).await;
        let judged = lock.references.iter().find(|reference| reference.kind == ReferenceKind::Image).unwrap();
        assert_eq!(judged.verdict.rule, VerdictRule::Keyless);
        assert_eq!(judged.verdict.identity.as_deref(), Some(WORKFLOW));
        assert_eq!(judged.verdict.issuer.as_deref(), Some(ISSUER));

        let (simple, image, spec) = keyless(&sigstore, &rule);
        let payload = simple_payload(IMAGE, &image.digest);
        let signature = simple_image(&payload, &sigstore.simple_annotations(&identity, &payload));
        simple.upstream.push(&format!("{IMAGE}:{}", Cosign::tag(&image.digest)), &signature);
        assert_eq!(locked(&simple, &spec).await.references.len(), 3);
    }
}

/// Signatures by an identity that must not be believed: another identity, issuer, authority, log; entries and proofs that lie.
#[tokio::test]
async fn identities_that_are_not_what_they_seem() {
    let sigstore = Sigstore::new();
    let identity = sigstore.certify(WORKFLOW, ISSUER);
    let good = |digest: &Digest| sigstore.bundle(&identity, &statement(digest, SIGN));
    let foreign = Sigstore::new();
    let another = statement(&Digest::sha256(b"another"), SIGN);
    let faults: [Fault<'_>; 9] = [
        ("another identity", &|digest| {
            sigstore.bundle(&sigstore.certify("https://ci.example/evil", ISSUER), &statement(digest, SIGN))
        }),
        ("another issuer", &|digest| {
            sigstore.bundle(&sigstore.certify(WORKFLOW, "https://evil.example"), &statement(digest, SIGN))
        }),
        ("another authority", &|digest| sigstore.bundle(&foreign.certify(WORKFLOW, ISSUER), &statement(digest, SIGN))),
        ("another log", &|digest| foreign.bundle(&identity, &statement(digest, SIGN))),
        ("another image", &|_| sigstore.bundle(&identity, &another)),
        ("the log entry of another image", &|digest| {
            let mut bundle = good(digest);
            let elsewhere = sigstore.bundle(&identity, &another);
            bundle["verificationMaterial"]["tlogEntries"] = elsewhere["verificationMaterial"]["tlogEntries"].clone();
            bundle
        }),
        ("a proof of inclusion that proves nothing", &|digest| {
            let mut bundle = good(digest);
            bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"][0] =
                STANDARD.encode([7_u8; 32]).into();
            bundle
        }),
        ("no proof of inclusion", &|digest| {
            let mut bundle = good(digest);
            bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionProof");
            bundle
        }),
        ("a version that needs no proof of inclusion", &|digest| {
            let mut bundle = good(digest);
            bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionProof");
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
            bundle
        }),
    ];
    let mut complaints = Vec::new();
    for (name, make) in faults {
        let (world, image, spec) = keyless(&sigstore, &format!("identity: '{WORKFLOW}'"));
        world.upstream.attach(IMAGE, &attachment(&make(&image.digest), &image));
        complaints.push(format!("{name}\n{}", world.complaint(&spec).await));
    }
    let filters = vec![
        ("sha256[:-][0-9a-f]{64}", "DIGEST"),
        ("[0-9a-f]{64}", "DIGEST"),
        ("log ID [A-Za-z0-9+/]{43}=", "log ID KEY"),
    ];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(complaints.join("\n")); });
}

/// Attack 54: whoever moves a tag after it was judged changes nothing, for the lock holds digests.
#[tokio::test]
async fn a_tag_that_moves_after_verification_moves_nothing() {
    let key = Cosign::generate();
    let (world, image) = world(&key);
    world.upstream.attach(IMAGE, &attachment(&key.bundle(&image.digest), &image));
    let lock = locked(&world, &by_key()).await;
    world.upstream.push(&format!("{IMAGE}:latest"), &tool(b"#!/bin/evil"));
    world.upstream.take_seen();
    crate::build::build_in(&world, &lock, "out.sealock").await.unwrap();
    let asked: Vec<String> = world.upstream.take_seen().into_iter().map(|seen| seen.target).collect();
    assert!(asked.iter().any(|target| target.ends_with(&image.digest.to_string())));
    assert!(asked.iter().all(|target| target.contains("sha256:")), "{asked:?}");
}
