//! SBOMs for images that bring none.

use std::path::PathBuf;

use sealock_bundle::Lock;
use sealock_bundle::lock::{BlobSource, LockedReference, ReferenceKind, VerdictRule};
use sealock_bundle::sbom::Sbom;
use sealock_fetch::{FetchError, Progress, Settings, resolve};
use sealock_testkit::image::Image;
use sealock_trust::Digest;
use serde_json::json;

use crate::programs;
use crate::world::{World, spec};

const IMAGE: &str = "quay.io/team/tool";
const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"busybox","versionInfo":"1.37"}]}"#;

fn generating() -> String {
    spec(&format!("  sboms: generate\n  images: [{{ref: '{IMAGE}:latest', verify: {{unsigned: 'for this test'}}}}]\n"))
}

/// A small Debian root with one package, as every scanner knows it.
fn tool() -> Image {
    let status = b"Package: busybox\nStatus: install ok installed\nVersion: 1:1.37.0-4\nArchitecture: amd64\n\
        Maintainer: x\nDescription: x\n";
    let release = b"ID=debian\nVERSION_ID=\"13\"\n";
    Image::new("linux/amd64", &[&[("var/lib/dpkg/status", status), ("etc/os-release", release)]])
}

fn world(image: &Image) -> World {
    let world = World::new();
    world.upstream.push(&format!("{IMAGE}:latest"), image);
    world
}

fn place(digest: &Digest) -> String {
    format!("sboms/sha256-{}.spdx.json", digest.hex())
}

/// The only thing in `lock` that refers to `subject`.
fn sbom_of<'a>(lock: &'a Lock, subject: &Digest) -> &'a LockedReference {
    let is_it = |reference: &&LockedReference| {
        reference.kind == ReferenceKind::Referrer && reference.subject.as_ref() == Some(subject)
    };
    let found: Vec<_> = lock.references.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1);
    found[0]
}

#[tokio::test]
async fn one_that_lies_beside_the_spec_is_carried_as_if_upstream_had_it() {
    let index = Image::index(&[("linux/amd64", tool())]);
    for (image, subject) in [(tool(), tool().digest), (index, tool().digest)] {
        let world = world(&image);
        world.write(&place(&subject), SPDX);
        let lock = world.lock(&generating()).await.unwrap_or_else(|error| panic!("{}", world.told(&error)));
        let sbom = sbom_of(&lock, &subject);
        assert_eq!(sbom.verdict.rule, VerdictRule::Local);
        let carried = lock.blobs.iter().find(|blob| blob.digest == Digest::sha256(SPDX.as_bytes())).expect("the SBOM");
        assert_eq!(carried.source, BlobSource::File { path: place(&subject) });
        assert_eq!(world.lock(&generating()).await.unwrap(), lock);
    }
}

#[tokio::test]
async fn none_is_made_for_what_brings_one() {
    let world = world(&tool());
    let kind = "application/spdx+json";
    let layers = vec![(kind.to_owned(), SPDX.into())];
    let config = ("application/vnd.oci.empty.v1+json", b"{}".as_slice().into());
    let attached = Image::artifact(Some(kind), config, layers, &json!({})).refer_to(&tool());
    world.upstream.attach(IMAGE, &attached);
    let lock = world.lock(&generating()).await.unwrap_or_else(|error| panic!("{}", world.told(&error)));
    assert_eq!(sbom_of(&lock, &tool().digest).digest, attached.digest);
}

#[tokio::test]
async fn what_is_none_is_refused_by_its_name() {
    let world = world(&tool());
    world.write(&place(&tool().digest), "{}");
    let told = world.complaint(&generating()).await;
    insta::with_settings!({filters => vec![("[0-9a-f]{64}", "DIGEST")]}, { insta::assert_snapshot!(told, @"SPEC: FOLDER/sboms/sha256-DIGEST.spdx.json cannot be carried: it is no SBOM in SPDX 2 or CycloneDX 1 JSON: neither spdxVersion SPDX-2.x nor specVersion 1.x") });
}

/// By the real syft, which takes minutes to build: `make interop` runs this.
#[tokio::test]
#[ignore = "needs syft in the PATH: make interop runs it"]
async fn syft_makes_the_same_one_each_time() {
    let world = world(&tool());
    let settings = Settings { program_folders: programs::folders(), ..world.settings() };
    let make = async || {
        let lock = resolve(&world.request(&generating()), &settings, &Progress::silent()).await;
        lock.unwrap_or_else(|error| panic!("{}", world.told(&error)))
    };
    let first = make().await;
    let file: PathBuf = world.path(&place(&tool().digest));
    let bytes = std::fs::read(&file).unwrap();
    let sbom = Sbom::from_bytes(&bytes).unwrap();
    assert!(sbom.packages.keys().any(|name| name.as_str() == "pkg:deb/debian/busybox"), "{:?}", sbom.packages.keys());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(make().await, first, "made anew, it is the same");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    sbom_of(&first, &tool().digest);
    let here = world.folder.path().parent().unwrap().display().to_string();
    assert!(!String::from_utf8(bytes).unwrap().contains(&here), "no path of this machine is in it");
}

/// Where `syft` is not installed, that is the surroundings' fault; a machine that has one makes the SBOM.
#[tokio::test]
async fn without_syft_it_says_what_is_missing() {
    let world = world(&tool());
    match world.lock(&generating()).await {
        Err(error) => assert!(matches!(error, FetchError::NoTool { tool: "syft", .. }) && error.is_environment()),
        Ok(lock) => assert_eq!(sbom_of(&lock, &tool().digest).verdict.rule, VerdictRule::Local),
    }
    assert!(!world.path("sboms").exists() || world.path(&place(&tool().digest)).exists());
}
