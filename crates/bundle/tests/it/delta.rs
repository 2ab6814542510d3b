//! Deltas: what a receipt lets them leave out, and what a site makes of what it lacks.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::Archive;
use sealock_bundle::delta::{Baseline, Bases, DeltaError, WantList};
use sealock_bundle::import::{ImportError, ImportOutcome, Terms, import};
use sealock_bundle::{Manifest, archive::Writer};
use sealock_trust::receipt::Verdict;
use sealock_trust::{Digest, FileKey, Receipt, Scheme};

use crate::support::{Cargo, Publisher, Site, noise, now, sample, site_keys};

/// A site that has imported bundle 1, and bundle 2 that adds a file.
struct Scene {
    folder: tempfile::TempDir,
    publisher: Publisher,
    site: Site,
    bases: Bases,
    next: Cargo,
}

impl Scene {
    fn new() -> Self {
        let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
        let site = Site::new(&publisher);
        let first = sample("base", 1).build(folder.path(), &publisher);
        site.import(&first).unwrap();
        let mut bases = Bases::default();
        bases.add(Archive::open(&first).unwrap().manifest_bytes()).unwrap();
        Self { folder, publisher, site, bases, next: sample("base", 2) }
    }

    fn receipt(&self) -> Vec<u8> {
        self.site.trust.accepted(&self.next.lock.stream).unwrap().unwrap().receipt
    }

    fn manifest(&self, receipt: &[u8], want: Option<&WantList>) -> Result<Manifest, DeltaError> {
        Baseline::open(receipt, self.site.keys.root())?.manifest(&self.next.lock, &self.bases, want)
    }

    fn delta(&self, name: &str, want: Option<&WantList>) -> PathBuf {
        let manifest = self.manifest(&self.receipt(), want).unwrap();
        write(&self.next, &manifest, &self.folder.path().join(name), &self.publisher)
    }
}

pub(crate) fn write(cargo: &Cargo, manifest: &Manifest, path: &Path, publisher: &Publisher) -> PathBuf {
    let writer = Writer::create_with(path, &cargo.lock, manifest).unwrap();
    for blob in writer.missing() {
        let mut slot = writer.slot(&blob.digest).unwrap();
        slot.write(&cargo.contents[&blob.digest]).unwrap();
        slot.finish().unwrap();
    }
    let path = writer.finish().unwrap();
    publisher.sign(&path);
    path
}

/// What `site` says that it wants; nothing of it may have changed.
fn want_list(site: &Site, bundle: &Path) -> WantList {
    assert_eq!(site.refusal(bundle), "BASE_MISSING");
    assert!(site.store.stagings().unwrap().is_empty() && site.store.held_blobs().unwrap().is_empty());
    let Err(ImportError::Base(missing)) = site.import(bundle) else { panic!("the base was not missing") };
    missing.want_list().unwrap().clone()
}

#[test]
fn a_delta_carries_what_is_new_and_makes_the_release_of_the_full_bundle() {
    let scene = Scene::new();
    let delta = scene.delta("delta", None);
    let full = scene.next.build(scene.folder.path(), &scene.publisher);
    assert!(fs::metadata(&delta).unwrap().len() < (1 << 20) + 10_000 && fs::metadata(&full).unwrap().len() > 4 << 20);

    let manifest = Archive::open(&delta).unwrap().unverified_manifest().unwrap();
    let base = manifest.base.clone().unwrap();
    let first = Archive::open(&scene.folder.path().join("base-1.sealock")).unwrap().manifest_digest();
    assert_eq!((base.site.as_str(), base.manifests), ("plant-7", vec![first]));
    assert_eq!(base.receipt, Digest::sha256(&scene.receipt()));
    assert_eq!(manifest.carried().count() as u64 + base.blobs, manifest.limits.blobs);
    assert_eq!(manifest.carried().map(|blob| blob.size).sum::<u64>() + base.bytes, manifest.limits.bytes);

    let ImportOutcome::Published(imported) = scene.site.import(&delta).unwrap() else { panic!("nothing to do") };
    assert_eq!(imported.written, manifest.carried().map(|blob| blob.size).sum::<u64>());
    let other = Site::new(&scene.publisher);
    let terms = Terms { accept_gap: Some(1..=1), ..Terms::at(now()) };
    import(&full, other.station(), &terms, &mut |_| {}).unwrap();
    let references = |site: &Site| site.store.current_release(site.keys.key_set()).unwrap().unwrap().release.references;
    assert_eq!(references(&scene.site), references(&other));
    for (digest, content) in &scene.next.contents {
        assert!(fs::read(scene.site.store.blob_path(digest)).unwrap() == *content);
    }
}

#[test]
fn lock_and_receipt_determine_every_byte_behind_the_signatures() {
    let scene = Scene::new();
    let [one, two] = ["one", "two"].map(|name| fs::read(scene.delta(name, None)).unwrap());
    let payload = |bytes: &[u8]| bytes[1 << 20..].to_vec();
    assert!(payload(&one) == payload(&two));
    let manifest = |name: &str| Archive::open(&scene.folder.path().join(name)).unwrap().manifest_digest();
    assert_eq!(manifest("one"), manifest("two"));
}

#[test]
fn a_delta_is_an_image_layout_that_says_what_it_lacks() {
    let scene = Scene::new();
    let file = fs::File::open(scene.delta("delta", None)).unwrap();
    let mut archive = tar::Archive::new(file);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name == "index.json" {
            let index: serde_json::Value = serde_json::from_reader(entry).unwrap();
            let absent = index["annotations"]["vnd.sealock.delta.absent-blobs"].as_str().unwrap();
            assert_eq!(absent, scene.manifest(&scene.receipt(), None).unwrap().base.unwrap().blobs.to_string());
            assert_eq!(index["manifests"].as_array().unwrap().len(), scene.next.lock.references.len());
        }
        names.push(name);
    }
    assert_eq!(names[0], "oci-layout");
    assert_eq!(names.iter().filter(|name| name.starts_with("blobs/")).count(), 2);
}

#[test]
fn a_site_without_the_base_says_exactly_what_it_wants_and_for_what() {
    let scene = Scene::new();
    let delta = scene.delta("delta", None);
    let bare = Site::new(&scene.publisher);
    let terms = Terms { accept_gap: Some(1..=1), ..Terms::at(now()) };
    let before = bare.snapshot();
    let error = import(&delta, bare.station(), &terms, &mut |_| {}).unwrap_err();
    assert_eq!((error.code().unwrap().as_str(), error.is_refusal()), ("BASE_MISSING", true));
    assert_eq!(bare.snapshot(), before);
    let ImportError::Base(missing) = error else { panic!("{error}") };
    let wanted = missing.want_list().unwrap();
    let manifest = Archive::open(&delta).unwrap().unverified_manifest().unwrap();
    let expected: Vec<&Digest> = manifest.expected().map(|blob| &blob.digest).collect();
    let mut found: Vec<&Digest> = wanted.blobs.iter().map(|blob| &blob.digest).collect();
    found.sort_by_key(|digest| expected.iter().position(|expected| expected == digest));
    assert_eq!(found, expected);
    assert!(wanted.blobs.is_sorted_by_key(|blob| &blob.digest));
}

#[test]
fn what_is_wanted_is_carried_by_the_next_delta() {
    let scene = Scene::new();
    let lost = Digest::sha256(&noise(4, (3 << 20) + 17));
    fs::remove_file(scene.site.store.blob_path(&lost)).unwrap();
    let wanted = want_list(&scene.site, &scene.delta("delta", None));
    let blob = &wanted.blobs[0];
    assert_eq!((wanted.blobs.len(), &blob.digest, blob.size), (1, &lost, (3 << 20) + 17));
    assert_eq!(blob.needed_by, ["files.example/large:1"]);
    assert_eq!((wanted.site.as_str(), wanted.stream.as_str(), wanted.sequence), ("plant-7", "base", 2));

    let bytes = wanted.to_bytes().unwrap();
    let second = scene.delta("second", Some(&WantList::from_bytes(&bytes).unwrap()));
    let ImportOutcome::Published(imported) = scene.site.import(&second).unwrap() else { panic!("nothing to do") };
    assert!(imported.written > 3 << 20);
    assert!(fs::read(scene.site.store.blob_path(&lost)).unwrap() == noise(4, (3 << 20) + 17));
}

#[test]
fn a_base_blob_of_another_size_is_wanted_and_then_replaced() {
    let scene = Scene::new();
    let damaged = Digest::sha256(&noise(3, 64 << 10));
    let path = scene.site.store.blob_path(&damaged);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"torn").unwrap();
    let wanted = want_list(&scene.site, &scene.delta("delta", None));
    assert_eq!(wanted.blobs.iter().map(|blob| &blob.digest).collect::<Vec<_>>(), [&damaged]);
    scene.site.import(&scene.delta("second", Some(&wanted))).unwrap();
    assert!(fs::read(&path).unwrap() == noise(3, 64 << 10));
}

/// Attack 38: what the manifest claims about the base is no more than a claim.
#[test]
fn a_forged_base_makes_nothing_servable() {
    let scene = Scene::new();
    let secret = noise(99, 70_000);
    let forged = Cargo::of_files("base", 2, &[("small", b"hello\n".to_vec()), ("secret", secret.clone())]);
    // The base's manifest claims what was never brought: the publisher signed it, and nobody imported it.
    let claimed = Manifest::from_lock(&Cargo::of_files("base", 1, &[("secret", secret.clone())]).lock).unwrap();
    let mut bases = Bases::default();
    let held = vec![bases.add(&claimed.to_bytes().unwrap()).unwrap()];
    let receipt = receipt_with(&scene, held);
    let baseline = Baseline::open(&receipt, scene.site.keys.root()).unwrap();
    let manifest = baseline.manifest(&forged.lock, &bases, None).unwrap();
    let bundle = write(&forged, &manifest, &scene.folder.path().join("forged"), &scene.publisher);
    let wanted = want_list(&scene.site, &bundle);
    assert!(wanted.blobs.iter().any(|blob| blob.digest == Digest::sha256(&secret)));
    assert!(!scene.site.store.has_blob(&Digest::sha256(&secret)).unwrap());
}

/// Else a publisher could serve, or feel out, what another one has brought.
#[test]
fn what_another_publisher_has_brought_is_no_base() {
    let scene = Scene::new();
    let stranger = Publisher::new();
    scene.site.enroll(&stranger, "apps");
    let theirs = Cargo::of_files("apps/spy", 1, &[("large", noise(4, (3 << 20) + 17)), ("mine", noise(5, 10))]);
    let receipt = receipt_with(&scene, Receipt::verify(&scene.receipt(), scene.site.keys.key_set()).unwrap().held);
    let baseline = Baseline::open(&receipt, scene.site.keys.root()).unwrap();
    let manifest = baseline.manifest(&theirs.lock, &scene.bases, None).unwrap();
    let bundle = write(&theirs, &manifest, &scene.folder.path().join("spy"), &stranger);
    let wanted = want_list(&scene.site, &bundle);
    assert_eq!(wanted.blobs.len() as u64, manifest.base.unwrap().blobs, "as if the site held none of it");
}

fn receipt_with(scene: &Scene, held: Vec<Digest>) -> Vec<u8> {
    let receipt = Receipt {
        manifest: Digest::sha256(b"any"),
        site: scene.site.keys.id().clone(),
        stream: scene.next.lock.stream.clone(),
        sequence: 1,
        verdict: Verdict::Accepted,
        code: None,
        held,
        issued: now(),
        generation: None,
        exceptions: Vec::new(),
    };
    receipt.sign(scene.site.keys.signer()).unwrap()
}

#[test]
fn a_receipt_names_what_every_live_release_holds() {
    let scene = Scene::new();
    scene.site.import(&scene.delta("delta", None)).unwrap();
    let receipt = Receipt::verify(&scene.receipt(), scene.site.keys.key_set()).unwrap();
    let releases = scene.site.store.live_releases(scene.site.keys.key_set()).unwrap();
    let mut selected: Vec<Digest> =
        releases.iter().flat_map(|one| &one.release.streams).map(|one| one.manifest.clone()).collect();
    selected.sort();
    assert_eq!((receipt.held.len(), receipt.held), (2, selected));
}

#[test]
fn a_delta_builds_on_a_delta() {
    let scene = Scene::new();
    let second = scene.delta("second", None);
    scene.site.import(&second).unwrap();
    let mut bases = scene.bases.clone();
    bases.add(Archive::open(&second).unwrap().manifest_bytes()).unwrap();
    let third = sample("base", 3);
    let baseline = Baseline::open(&scene.receipt(), scene.site.keys.root()).unwrap();
    let manifest = baseline.manifest(&third.lock, &bases, None).unwrap();
    let bundle = write(&third, &manifest, &scene.folder.path().join("third"), &scene.publisher);
    scene.site.import(&bundle).unwrap();
    assert_eq!(scene.site.release(), Some(3));
}

#[test]
fn what_no_receipt_vouches_for_makes_no_delta() {
    let scene = Scene::new();
    let receipt = scene.receipt();
    let mut altered = receipt.clone();
    let at = altered.len() / 2;
    altered[at] ^= 1;
    assert!(scene.manifest(&altered, None).unwrap_err().is_refusal());
    let stranger = site_keys("plant-7", FileKey::generate(Scheme::Ed25519).unwrap());
    let error = Baseline::open(&receipt, stranger.root()).unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "THRESHOLD", "{error}");

    let mut elsewhere = scene.next.clone();
    elsewhere.lock.audience.sites = vec!["plant-8".parse().unwrap()];
    let baseline = Baseline::open(&receipt, scene.site.keys.root()).unwrap();
    let error = baseline.manifest(&elsewhere.lock, &scene.bases, None).unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "AUDIENCE", "{error}");

    let error = baseline.manifest(&scene.next.lock, &Bases::default(), None).unwrap_err();
    assert!(matches!(&error, DeltaError::BaseUnknown { missing } if missing.len() == 1), "{error}");
    assert!(!error.is_refusal() && error.hint().unwrap().contains("--base"));

    let fresh = Cargo::of_files("base", 2, &[]);
    let error = baseline.manifest(&fresh.lock, &scene.bases, None).unwrap_err();
    assert!(matches!(error, DeltaError::NothingHeld { .. }), "{error}");
}

#[test]
fn a_want_list_of_another_delta_is_refused() {
    let scene = Scene::new();
    let lost = Digest::sha256(&noise(1, 512));
    fs::remove_file(scene.site.store.blob_path(&lost)).unwrap();
    let wanted = want_list(&scene.site, &scene.delta("delta", None));
    let mut others = vec![wanted.clone(), wanted.clone(), wanted.clone(), wanted];
    others[0].site = "plant-8".parse().unwrap();
    others[1].sequence = 3;
    others[2].stream = "apps".parse().unwrap();
    others[3].blobs[0].digest = Digest::sha256(b"never locked");
    for other in others {
        let error = scene.manifest(&scene.receipt(), Some(&other)).unwrap_err();
        assert_eq!(error.code().unwrap().as_str(), "SUBJECT", "{error}");
    }
}

#[test]
fn a_manifest_that_contradicts_its_base_is_refused() {
    let scene = Scene::new();
    let good = scene.manifest(&scene.receipt(), None).unwrap();
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        let error = Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error.code().as_str(), "FORMAT", "{error}");
    };
    assert_eq!(Manifest::from_bytes(&good.to_bytes().unwrap()).unwrap(), good);
    refused(&|manifest| manifest.base = None);
    refused(&|manifest| manifest.base.as_mut().unwrap().bytes += 1);
    refused(&|manifest| manifest.base.as_mut().unwrap().blobs -= 1);
    refused(&|manifest| manifest.base.as_mut().unwrap().manifests.clear());
    refused(&|manifest| {
        let base = manifest.base.as_mut().unwrap();
        base.manifests.push(base.manifests[0].clone());
    });
    refused(&|manifest| manifest.blobs[0].offset = manifest.blobs[0].offset.map_or(Some(512), |_| None));
    let full = Manifest::from_lock(&scene.next.lock).unwrap();
    let mut claims_a_base = full.clone();
    claims_a_base.base = good.base.clone().map(|base| sealock_bundle::manifest::Base { blobs: 0, bytes: 0, ..base });
    assert!(Manifest::from_bytes(&claims_a_base.to_bytes().unwrap()).is_err());
}
