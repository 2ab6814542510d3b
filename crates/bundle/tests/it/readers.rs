//! Other people's tools read our bundles, with no Sealock at hand.

use std::path::Path;
use std::process::Command;

use sealock_bundle::Archive;
use sealock_bundle::artifact::{self, OCI_MANIFEST};
use sealock_bundle::lock::{BlobRole, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::support::{Cargo, Publisher, noise, sample};

/// Runs a program that has to be there: without it the promise cannot be shown, which is a failure.
fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed (apt-get install {program}): {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    assert!(errors.is_empty(), "{program} {arguments:?} complained: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn gnu_tar_lists_and_extracts_it_without_a_word() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = sample("base", 1);
    let path = cargo.build(folder.path(), &publisher);
    let names = run("tar", &["-tf", path.to_str().unwrap()], folder.path());
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(
        names[..8],
        [
            "oci-layout",
            "index.json",
            "tuf/metadata/1.root.json",
            "tuf/metadata/snapshot.json",
            "tuf/metadata/targets.json",
            "tuf/metadata/timestamp.json",
            "tuf/targets/manifest.json",
            "pad"
        ]
    );
    assert_eq!(names.len(), 8 + cargo.lock.blobs.len());

    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    run("tar", &["-xf", path.to_str().unwrap(), "-C", out.to_str().unwrap()], folder.path());
    for (digest, content) in &cargo.contents {
        let file = out.join("blobs").join(digest.algorithm().as_str()).join(digest.hex());
        assert!(std::fs::read(file).unwrap() == *content);
    }
    let manifest = std::fs::read(out.join("tuf/targets/manifest.json")).unwrap();
    assert_eq!(manifest, Archive::open(&path).unwrap().manifest_bytes());
}

#[test]
fn the_tar_crate_reads_it() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = sample("base", 1);
    let path = cargo.build(folder.path(), &publisher);
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut blobs = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let position = entry.raw_file_position();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            blobs += 1;
            assert_eq!(Digest::sha256(&content).hex(), hex);
            assert!(content.len() < (64 << 10) || position % 4096 == 0, "{name} is not aligned");
        }
    }
    assert_eq!(blobs, cargo.lock.blobs.len());
}

#[test]
fn names_of_sha512_blobs_are_read_whole() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let mut cargo = sample("base", 1);
    let content = b"named by SHA-512".to_vec();
    let mut blob = artifact::generated(artifact::OCTET_STREAM, BlobRole::Layer, &content);
    blob.digest = Digest::of(sealock_trust::Algorithm::Sha512, &content);
    let name = format!("blobs/sha512/{}", blob.digest.hex());
    cargo.lock.blobs.push(blob.clone());
    cargo.lock.sort();
    let path = cargo.build(folder.path(), &publisher);
    let names = run("tar", &["-tf", path.to_str().unwrap()], folder.path());
    assert!(names.lines().any(|line| line == name), "{names}");
    let extracted = run("tar", &["-xOf", path.to_str().unwrap(), &name], folder.path());
    assert_eq!(extracted.as_bytes(), content);
    let site = crate::support::Site::new(&publisher);
    site.import(&path).unwrap();
    assert_eq!(std::fs::read(site.store.blob_path(&blob.digest)).unwrap(), content);
}

/// An image of one layer, as somebody else would have made it.
fn image() -> Cargo {
    let mut cargo = Cargo::of_files("base", 1, &[("file", noise(8, 70_000))]);
    let layer = noise(6, 100_000);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let layer_type = "application/vnd.oci.image.layer.v1.tar";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": config_type, "digest": Digest::sha256(&config), "size": config.len() },
        "layers": [{ "mediaType": layer_type, "digest": Digest::sha256(&layer), "size": layer.len() }],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::sha256(&manifest);
    for (media_type, role, bytes) in [
        (OCI_MANIFEST, BlobRole::Manifest, manifest),
        (config_type, BlobRole::Config, config),
        (layer_type, BlobRole::Layer, layer),
    ] {
        cargo.lock.blobs.push(artifact::generated(media_type, role, &bytes));
    }
    cargo.lock.references.push(LockedReference {
        name: "registry.example/app/web:1.0".parse().unwrap(),
        kind: ReferenceKind::Image,
        digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: None,
        subject: None,
        source: "registry.example/app/web:1.0".to_owned(),
        requested_by: vec!["image registry.example/app/web:1.0".to_owned()],
        verdict: Verdict::new(VerdictRule::Unsigned).because("a test"),
    });
    cargo.lock.sort();
    cargo
}

#[test]
fn skopeo_inspects_and_copies_an_image_out_of_it() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = image();
    let path = cargo.build(folder.path(), &publisher);
    let source = format!("oci-archive:{}:registry.example/app/web:1.0", path.display());
    let raw = run("skopeo", &["inspect", "--raw", &source], folder.path());
    let reference = cargo.lock.references.iter().find(|reference| reference.kind == ReferenceKind::Image).unwrap();
    assert_eq!(Digest::sha256(raw.as_bytes()), reference.digest);
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &source], folder.path())).unwrap();
    assert_eq!(seen["Digest"], reference.digest.to_string());
    let target = format!("oci:{}", folder.path().join("copy").display());
    run("skopeo", &["copy", "--quiet", "--insecure-policy", &source, &target], folder.path());
}
