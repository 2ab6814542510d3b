//! Releases: what is published, and what is refused.

use std::os::unix::fs::PermissionsExt;

use sealock_store::operations::Operation;
use sealock_store::release::{Reference, ReferenceKind};
use sealock_store::{Published, Release, Store, StoreError};
use sealock_trust::reason::Code;
use sealock_trust::{Digest, FileKey, KeySet, PublicKey, Scheme, Signer};

use crate::site::{Bundle, Site, at};

const BASE: Bundle = Bundle { stream: "base", sequence: 1 };

fn site() -> (tempfile::TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    (folder, site)
}

fn rewrite(path: &std::path::Path, change: impl Fn(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

#[test]
fn a_release_selects_the_newest_bundle_of_each_stream() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    site.import(Bundle { stream: "apps/payments", sequence: 1 }).unwrap();
    let third = site.import(Bundle { stream: "base", sequence: 2 }).unwrap();

    let release = &third.release;
    assert_eq!(release.number, 3);
    let streams: Vec<_> = release.streams.iter().map(|s| (s.stream.as_str(), s.sequence)).collect();
    assert_eq!(streams, [("apps/payments", 1), ("base", 2)]);
    assert!(release.resolve("registry.example/base/large:2").is_some());
    assert!(release.resolve("registry.example/base/large:1").is_none());
    assert!(release.resolve("registry.example/apps/payments/large:1").is_some());

    let numbers: Vec<_> = site.open().releases(&site.keys()).unwrap().iter().map(|p| p.release.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(site.current(), Some(third));
    site.check_clean();
}

#[test]
fn the_same_bundle_again_has_no_effect() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let before = crate::site::files(&site.store);
    assert_eq!(site.import(BASE).unwrap().release.number, 1);
    assert_eq!(crate::site::files(&site.store), before);
}

/// Each publisher stays within the limits of a manifest, and together they would exceed those of a release, which nobody
/// could then read: neither the server nor the next import.
#[test]
fn a_release_that_nobody_could_read_again_is_refused_before_anything_is_accepted() {
    let many = |stream: &'static str| -> Vec<Reference> {
        let digest = Digest::sha256(b"shared");
        let reference = |number| Reference {
            name: format!("registry.example/{stream}/x{number:05}:1"),
            kind: ReferenceKind::Image,
            digest: digest.clone(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            subject: None,
            size: 6,
            stream: stream.into(),
            vendor: None,
        };
        (0..30_000).map(reference).collect()
    };
    let (one, two) = (BASE, Bundle { stream: "other", sequence: 1 });
    let first = Release::after(None, one.selection(), many("base"), at(1)).unwrap();
    let first = Published { release: first, digest: Digest::sha256(b"file") };
    let error = Release::after(Some(&first), two.selection(), many("other"), at(2)).unwrap_err();
    assert_eq!(error.code(), Some(Code::Limit), "{error}");
}

#[test]
fn only_the_stores_owner_can_take_its_lock() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let mode = std::fs::metadata(site.store.join("lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "whoever can open the file can lock it, and keep every import waiting");
}

#[test]
fn one_name_with_two_digests_is_a_conflict() {
    let (_folder, site) = site();
    let first = site.import(BASE).unwrap();
    let other = Bundle { stream: "other", sequence: 1 };
    let mut references = other.references();
    references[1].name = "registry.example/base/large:1".into();
    let error = Release::after(Some(&first), other.selection(), references, at(2)).unwrap_err();
    assert_eq!(error.code(), Some(Code::Conflict));
    assert!(error.to_string().contains("in stream base"), "{error}");
    assert!(error.to_string().contains("in stream other"), "{error}");
}

#[test]
fn a_release_without_its_blobs_is_not_published() {
    let (_folder, site) = site();
    let first = site.import(BASE).unwrap();
    let second = Bundle { stream: "base", sequence: 2 };
    let release = Release::after(Some(&first), second.selection(), second.references(), at(2)).unwrap();
    let lock = site.open().lock().unwrap();
    let error = lock.publish(release, None, &site.key).unwrap_err();
    assert_eq!(error.code(), Some(Code::Incomplete));
    assert_eq!(site.current(), Some(first));
    let operations = site.open().operations().unwrap();
    assert_eq!(operations.last().unwrap().operation, Operation::Published { release: 1 });
}

#[test]
fn a_release_that_was_overtaken_is_not_published() {
    let (_folder, site) = site();
    let first = site.import(BASE).unwrap();
    let second = site.import(Bundle { stream: "base", sequence: 2 }).unwrap();
    let late = Release::after(Some(&first), BASE.selection(), BASE.references(), at(3)).unwrap();
    let lock = site.open().lock().unwrap();
    let error = lock.publish(late, None, &site.key).unwrap_err();
    assert!(matches!(error, StoreError::StaleRelease { number: 2, .. }), "{error:?}");
    assert_eq!(site.current(), Some(second));
}

#[test]
fn a_release_signed_by_another_key_is_refused() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let stranger = FileKey::generate(Scheme::Ed25519).unwrap();
    let keys = KeySet::new([stranger.public_key().clone()], 1).unwrap();
    let error = site.open().current_release(&keys).unwrap_err();
    assert!(matches!(error, StoreError::ReleaseSignature { .. }), "{error:?}");
    assert!(error.is_refusal());
}

#[test]
fn a_changed_release_file_is_refused() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let path = site.store.join("releases/1.json");
    let original = std::fs::read_to_string(&path).unwrap();
    for at in (0..original.len()).step_by(7) {
        rewrite(&path, |_| {
            let mut bytes = original.clone().into_bytes();
            bytes[at] ^= 1;
            String::from_utf8(bytes).unwrap()
        });
        let error = site.open().current_release(&site.keys()).expect_err("a changed byte was not noticed");
        assert!(error.is_refusal(), "byte {at}: {error:?}");
    }
}

#[test]
fn a_release_under_another_number_is_refused() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    site.import(Bundle { stream: "base", sequence: 2 }).unwrap();
    std::fs::rename(site.store.join("releases/1.json"), site.store.join("releases/2.json")).unwrap();
    let error = site.open().current_release(&site.keys()).unwrap_err();
    assert_eq!(error.code(), Some(Code::Format), "{error:?}");
}

#[test]
fn a_pointer_to_elsewhere_is_refused() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let current = site.store.join("current");
    for target in ["../../etc/passwd", "releases/01.json", "releases/-1.json", "releases/0.json", "/releases/1.json"] {
        std::fs::remove_file(&current).unwrap();
        std::os::unix::fs::symlink(target, &current).unwrap();
        let error = site.open().current_number().unwrap_err();
        assert!(matches!(error, StoreError::BadCurrent { .. }), "{target}: {error:?}");
    }
}

#[test]
fn a_damaged_log_is_refused_but_a_torn_last_line_is_not() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let log = site.store.join("operations.log");
    let whole = std::fs::read_to_string(&log).unwrap();
    rewrite(&log, |text| text + "{\"at\":\"2026");
    assert_eq!(site.open().operations().unwrap().len(), 2);
    site.import(Bundle { stream: "base", sequence: 2 }).unwrap();
    site.check_clean();
    assert!(std::fs::read_to_string(&log).unwrap().starts_with(&whole));

    rewrite(&log, |text| text.replacen("\"release\":1", "\"release\":3", 1));
    let error = site.open().operations().unwrap_err();
    assert!(matches!(error, StoreError::DamagedLog { line: 2, .. }), "{error:?}");
}

#[test]
fn the_files_of_a_store_as_others_read_them() {
    let (_folder, site) = site();
    site.import(BASE).unwrap();
    let number = std::fs::read_link(site.store.join("current")).unwrap();
    assert_eq!(number.to_str(), Some("releases/1.json"));
    let published = site.current().unwrap();
    let payload = serde_json::to_string_pretty(&published.release).unwrap();
    insta::assert_snapshot!("release", payload);
    let log = std::fs::read_to_string(site.store.join("operations.log")).unwrap();
    let digest = published.digest.to_string();
    let first_line = log.lines().next().unwrap();
    let previous = Digest::sha256(first_line.as_bytes()).to_string();
    insta::assert_snapshot!("operation-log", log.replace(&digest, "<release file>").replace(&previous, "<line 1>"));
}

/// Docs/formats/release.md points here: these bytes must stay readable for as long as there is a `release/1`.
#[test]
fn the_test_vector_is_read() {
    let (_folder, site) = site();
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let key: PublicKey = serde_json::from_slice(&std::fs::read(vectors.join("site-key.json")).unwrap()).unwrap();
    let keys = KeySet::new([key], 1).unwrap();
    let store = Store::init(&site.store).unwrap();
    std::fs::copy(vectors.join("release-1.json"), site.store.join("releases/1.json")).unwrap();
    std::os::unix::fs::symlink("releases/1.json", site.store.join("current")).unwrap();
    let published = store.current_release(&keys).unwrap().unwrap();
    let expected = Release::after(None, BASE.selection(), BASE.references(), at(1)).unwrap();
    assert_eq!(published.release, expected);
}
