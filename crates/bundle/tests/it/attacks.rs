//! Importing what is hostile: each attack has its reason code, and the site is as it was before.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::import::{Terms, import};
use sealock_bundle::{Archive, Manifest};

use crate::support::{Cargo, Publisher, Site, noise, sample, site_keys, time};

struct Scene {
    folder: tempfile::TempDir,
    publisher: Publisher,
    site: Site,
    bundle: PathBuf,
    bytes: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
        let site = Site::new(&publisher);
        let bundle = sample("base", 1).build(folder.path(), &publisher);
        let bytes = fs::read(&bundle).unwrap();
        Self { folder, publisher, site, bundle, bytes }
    }

    fn refusal_of(&self, bytes: &[u8]) -> String {
        let path = self.folder.path().join("attack");
        fs::write(&path, bytes).unwrap();
        let code = self.site.refusal(&path);
        // Whichever way it comes, it is refused for the same reason, and stays where it is.
        assert_eq!(self.site.refusal_on(&path, &crate::in_place::terms()), code);
        assert!(fs::read(&path).unwrap() == bytes);
        code
    }

    fn flipped(&self, at: usize) -> String {
        let mut bytes = self.bytes.clone();
        bytes[at] ^= 1;
        self.refusal_of(&bytes)
    }

    fn manifest(&self) -> Manifest {
        Archive::open(&self.bundle).unwrap().unverified_manifest().unwrap()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}

#[test]
fn a_truncated_bundle() {
    let scene = Scene::new();
    let length = scene.bytes.len();
    for end in [0, 1, 511, 512, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 512, length / 2, length - 1024, length - 1] {
        assert_eq!(scene.refusal_of(&scene.bytes[..end]), "INCOMPLETE", "cut after {end} bytes");
    }
}

#[test]
fn trailing_bytes() {
    let scene = Scene::new();
    for tail in [&[0_u8; 1][..], &[0; 512], &[0; 9216], b"more"] {
        assert_eq!(scene.refusal_of(&[&scene.bytes, tail].concat()), "TRAILING");
    }
}

#[test]
fn a_flipped_byte_in_each_blob() {
    let scene = Scene::new();
    for blob in scene.manifest().blobs.iter().filter(|blob| blob.size > 0) {
        for at in [0, blob.size / 2, blob.size - 1] {
            let at = (1 << 20) + usize::try_from(blob.offset.unwrap() + at).unwrap();
            assert_eq!(scene.flipped(at), "DIGEST", "byte {at} of {}", blob.digest);
        }
    }
}

#[test]
fn a_flipped_byte_between_the_blobs() {
    let scene = Scene::new();
    let mut end = 1 << 20;
    for blob in &scene.manifest().blobs {
        let data = (1 << 20) + usize::try_from(blob.offset.unwrap()).unwrap();
        for at in [end, end + 100, end + 130, end + 300, data - 512, data - 400, data - 200, data - 1] {
            let code = scene.flipped(at);
            assert!(["FORMAT", "AMBIGUOUS", "SIZE"].contains(&code.as_str()), "{code} for byte {at} before {data}");
        }
        end = data + usize::try_from(blob.size.next_multiple_of(512)).unwrap();
        if !blob.size.is_multiple_of(512) {
            assert_eq!(scene.flipped(end - 1), "FORMAT");
        }
    }
    assert_eq!(scene.flipped(end), "FORMAT");
    assert_eq!(scene.flipped(scene.bytes.len() - 1), "FORMAT");
}

#[test]
fn a_flipped_byte_anywhere_in_the_header() {
    let scene = Scene::new();
    // Every 97th byte, and of the empty padding a few: each is refused, whatever it is.
    let used = find(&scene.bytes, b"pad\0") + 512;
    for at in (0..used).step_by(97).chain([used, used + 1000, (1 << 20) - 1]) {
        let code = scene.flipped(at);
        let known = [
            "AMBIGUOUS",
            "DIGEST",
            "FORMAT",
            "LIMIT",
            "PATH",
            "ROOT_SIG",
            "SIG",
            "SIZE",
            "THRESHOLD",
            "TYPE",
            "UNDECLARED",
            "ALG",
            "INCOMPLETE",
        ];
        assert!(known.contains(&code.as_str()), "{code} for byte {at}");
    }
}

#[test]
fn a_flipped_byte_in_the_manifest() {
    let scene = Scene::new();
    let archive = Archive::open(&scene.bundle).unwrap();
    let manifest = archive.manifest_bytes();
    let start = find(&scene.bytes, manifest);
    for at in (0..manifest.len()).step_by(53) {
        assert_eq!(scene.flipped(start + at), "SIG", "byte {at}");
    }
}

#[test]
fn an_unsigned_bundle() {
    let scene = Scene::new();
    let path = sample("base", 1).write(&scene.folder.path().join("unsigned"));
    assert_eq!(scene.site.refusal(&path), "UNSIGNED");
}

#[test]
fn too_few_signatures() {
    let scene = Scene::new();
    let path = sample("base", 1).write(&scene.folder.path().join("one"));
    let roots = [scene.publisher.root.clone()];
    sealock_bundle::sign(&path, &roots, &scene.publisher.signers()[..1]).unwrap();
    assert_eq!(scene.site.refusal(&path), "THRESHOLD");
}

/// The one who signs first puts the metadata of another bundle beside the manifest that the second one is shown: the second
/// signature would complete the other bundle.
#[test]
fn a_second_signer_is_shown_one_manifest_and_given_another_to_sign() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let (roots, signers) = (std::slice::from_ref(&publisher.root), publisher.signers());
    let signed_once = |name: &str, byte| {
        let path = Cargo::of_files("base", 1, &[("a", vec![byte; 1000])]).write(&folder.path().join(name));
        sealock_bundle::sign(&path, roots, &signers[..1]).unwrap();
        path
    };
    let targets = |path: &Path| {
        let archive = Archive::open(path).unwrap();
        archive.metadata().iter().find(|(name, _)| name == "targets.json").unwrap().1.clone()
    };
    let (shown, meant) = (signed_once("shown", 1), signed_once("meant", 2));
    let (honest, evil) = (targets(&shown), targets(&meant));
    assert!(honest.len() == evil.len() && honest != evil);
    let mut bytes = fs::read(&shown).unwrap();
    let at = find(&bytes, &honest);
    bytes[at..at + evil.len()].copy_from_slice(&evil);
    fs::write(&shown, &bytes).unwrap();

    let error = sealock_bundle::sign(&shown, &[], &signers[1..]).unwrap_err();
    assert_eq!(error.code().map(|code| code.to_string()), Some("SUBJECT".to_owned()), "{error}");
    assert!(fs::read(&shown).unwrap() == bytes, "nothing is signed");
}

#[test]
fn signed_by_somebody_else() {
    let scene = Scene::new();
    let path = sample("base", 1).write(&scene.folder.path().join("foreign"));
    Publisher::new().sign(&path);
    // Its root has the version of the one that is enrolled, and another content.
    assert_eq!(scene.site.refusal(&path), "EQUIVOCATION");
}

#[test]
fn a_stream_that_nobody_is_enrolled_for() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-7");
    site.enroll(&publisher, "apps");
    let path = sample("base", 1).build(folder.path(), &publisher);
    assert_eq!(site.refusal(&path), "NOT_ENROLLED");
}

#[test]
fn for_another_site() {
    let scene = Scene::new();
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-8");
    site.enroll(&scene.publisher, "*");
    assert_eq!(site.refusal(&scene.bundle), "AUDIENCE");
}

#[test]
fn classified_for_others() {
    let scene = Scene::new();
    let mut cargo = sample("base", 1);
    cargo.lock.audience.classification = Some("secret".to_owned());
    let path = cargo.build(scene.folder.path(), &scene.publisher);
    assert_eq!(scene.site.refusal(&path), "AUDIENCE");
}

#[test]
fn older_than_what_was_accepted() {
    let scene = Scene::new();
    scene.site.import(&scene.bundle).unwrap();
    let second = sample("base", 2).build(scene.folder.path(), &scene.publisher);
    scene.site.import(&second).unwrap();
    assert_eq!(scene.site.refusal(&scene.bundle), "ROLLBACK");
}

#[test]
fn two_bundles_of_one_sequence() {
    let scene = Scene::new();
    scene.site.import(&scene.bundle).unwrap();
    let other = Cargo::of_files("base", 1, &[("other", noise(5, 1000))]);
    let path = other.write(&scene.folder.path().join("other"));
    scene.publisher.sign(&path);
    assert_eq!(scene.site.refusal(&path), "EQUIVOCATION");
}

#[test]
fn far_ahead() {
    let scene = Scene::new();
    scene.site.import(&scene.bundle).unwrap();
    let path = sample("base", 5000).build(scene.folder.path(), &scene.publisher);
    assert_eq!(scene.site.refusal(&path), "JUMP");
}

#[test]
fn expired() {
    let scene = Scene::new();
    let late = Terms::at(time("2027-11-02T00:00:00Z"));
    let before = scene.site.snapshot();
    let error = import(&scene.bundle, scene.site.station(), &late, &mut |_| {}).unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "EXPIRED");
    assert_eq!(scene.site.snapshot(), before);
}

#[test]
fn one_name_for_two_contents_in_two_streams() {
    let scene = Scene::new();
    scene.site.import(&scene.bundle).unwrap();
    let twin = Cargo::of_files("apps", 1, &[("small", b"something else".to_vec())]);
    let path = twin.build(scene.folder.path(), &scene.publisher);
    assert_eq!(scene.site.refusal(&path), "CONFLICT");
    // The stream is not stuck: the repaired bundle of the same sequence comes in.
    let repaired = Cargo::of_files("apps", 1, &[("other", b"something else".to_vec())]);
    let path = repaired.write(&scene.folder.path().join("repaired"));
    scene.publisher.sign(&path);
    scene.site.import(&path).unwrap();
}

#[test]
fn a_refused_bundle_does_not_block_the_next_good_one() {
    let scene = Scene::new();
    let mut bytes = scene.bytes.clone();
    let at = bytes.len() - 2000;
    bytes[at] ^= 1;
    scene.refusal_of(&bytes);
    scene.site.import(&scene.bundle).unwrap();
}

#[test]
fn the_payload_of_another_bundle_under_a_genuine_header() {
    let scene = Scene::new();
    let files = [("empty", Vec::new()), ("small", b"HELLO\n".to_vec())];
    let other = Cargo::of_files("base", 1, &files).write(&scene.folder.path().join("other"));
    let other = fs::read(other).unwrap();
    let mixed = [&scene.bytes[..1 << 20], &other[1 << 20..]].concat();
    assert_eq!(scene.refusal_of(&mixed), "INCOMPLETE");
    let mut padded = mixed;
    padded.resize(scene.bytes.len(), 0);
    assert_eq!(scene.refusal_of(&padded), "UNDECLARED");
}

#[test]
fn hostile_entries_in_the_place_of_blobs() {
    let scene = Scene::new();
    let manifest = scene.manifest();
    let in_place_of = |size_fits: &dyn Fn(u64) -> bool, bend: &dyn Fn(&mut tar::Header)| {
        let blob = manifest.blobs.iter().find(|blob| size_fits(blob.size)).unwrap();
        let at = (1 << 20) + usize::try_from(blob.offset.unwrap()).unwrap() - 512;
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&scene.bytes[at..at + 512]);
        bend(&mut header);
        header.set_cksum();
        let mut bytes = scene.bytes.clone();
        bytes[at..at + 512].copy_from_slice(header.as_bytes());
        scene.refusal_of(&bytes)
    };
    let rename = |header: &mut tar::Header, name: &[u8]| {
        header.as_old_mut().name = [0; 100];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
    };
    // Small blobs have one header, aligned ones a PAX header and one of their own.
    let sizes: [&dyn Fn(u64) -> bool; 2] = [&|size| size == 512, &|size| size == 64 << 10];
    for size_fits in sizes {
        assert_eq!(in_place_of(size_fits, &|header| header.set_entry_type(tar::EntryType::Symlink)), "LINK");
        assert_eq!(in_place_of(size_fits, &|header| header.set_entry_type(tar::EntryType::Char)), "TYPE");
        assert_eq!(in_place_of(size_fits, &|header| rename(header, b"../../etc/cron.d/x")), "PATH");
        assert_eq!(in_place_of(size_fits, &|header| header.set_mode(0o4755)), "AMBIGUOUS");
    }
}

#[test]
fn pax_records_that_contradict_the_header() {
    let scene = Scene::new();
    let blob = scene.manifest().blobs.into_iter().find(|blob| blob.size == 64 << 10).unwrap();
    let data = (1 << 20) + usize::try_from(blob.offset.unwrap()).unwrap();
    let comment = scene.bytes[..data].windows(9).rposition(|window| window == b" comment=").unwrap();
    let records = comment - 3 - usize::from(scene.bytes[comment - 4].is_ascii_digit());
    let length: usize = std::str::from_utf8(&scene.bytes[records..comment]).unwrap().parse().unwrap();
    let size = b"10 size=1\n";
    let rest = length - size.len();
    let filler = rest - format!("{rest} comment=").len() - 1;
    let forged = [&size[..], format!("{rest} comment={}\n", "-".repeat(filler)).as_bytes()].concat();
    assert_eq!(forged.len(), length);
    let mut bytes = scene.bytes.clone();
    bytes[records..records + length].copy_from_slice(&forged);
    assert_eq!(scene.refusal_of(&bytes), "AMBIGUOUS");
}

#[test]
fn something_that_is_no_file_or_no_bundle() {
    let scene = Scene::new();
    let error = scene.site.import(Path::new("/nonexistent")).unwrap_err();
    assert!(error.is_environment() && error.code().is_none());
    assert_eq!(scene.site.refusal(scene.folder.path()), "FORMAT");
    assert_eq!(scene.refusal_of(&[b"#!/bin/sh\n".repeat(100)].concat()), "FORMAT");
    assert_eq!(scene.refusal_of(&[0; 2048]), "FORMAT");
}

#[test]
fn the_site_key_of_another_site_does_not_read_our_releases() {
    let scene = Scene::new();
    scene.site.import(&scene.bundle).unwrap();
    let key = sealock_trust::FileKey::generate(sealock_trust::Scheme::Ed25519).unwrap();
    let other = site_keys("plant-7", key);
    assert!(scene.site.store.current_release(other.key_set()).is_err());
}
