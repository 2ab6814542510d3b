//! Layers that come as patches: what they save, what they are made of, and what a site makes of bad ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::archive::Writer;
use sealock_bundle::delta::{Baseline, Bases, Making, Patches, Shelf, WantList};
use sealock_bundle::import::{ImportError, ImportOutcome};
use sealock_bundle::manifest::{Blob, Patch};
use sealock_bundle::{Archive, Manifest, patch, verify};
use sealock_store::failpoint;
use sealock_trust::Digest;

use crate::support::{Cargo, Publisher, Site, noise};

pub(crate) const BASE: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/base.gz");
pub(crate) const GO: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/layer-go.gz");
const ZLIB: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/layer-zlib-6.gz");

/// One layer that changes, one blob that stays, and one that is new each time.
pub(crate) fn cargo(sequence: u64, layer: &[u8]) -> Cargo {
    let files =
        [("app", layer.to_vec()), ("same", noise(1, 40_000)), ("own", format!("sequence {sequence}").into_bytes())];
    Cargo::of_files("base", sequence, &files)
}

/// What a delta with patches is made from.
pub(crate) struct Bench<'a> {
    pub(crate) baseline: Baseline,
    pub(crate) bases: &'a Bases,
    pub(crate) next: &'a Cargo,
    pub(crate) folder: &'a Path,
}

impl Bench<'_> {
    fn unpatched(&self, want: Option<&WantList>) -> Manifest {
        self.baseline.unpatched(&self.next.lock, self.bases, want).unwrap()
    }

    /// Everything that is new, and the patches of it.
    fn make(&self, shelf: &Shelf, want: Option<&WantList>) -> (Archive, Patches) {
        let whole = self.folder.join("whole");
        write_whole(self.next, &self.unpatched(want), &whole);
        let whole = Archive::open(&whole).unwrap();
        let held = self.baseline.patch_bases(self.bases, want).unwrap();
        let making = Making { whole: &whole, shelf, held, folder: self.folder };
        let patches = making.run(&mut |_| {}).unwrap();
        (whole, patches)
    }

    pub(crate) fn build(&self, shelf: &Shelf, want: Option<&WantList>, path: &Path, publisher: &Publisher) {
        let (whole, patches) = self.make(shelf, want);
        let manifest = self.baseline.patched(self.unpatched(want), patches.made().clone(), self.bases).unwrap();
        patches.write(&whole, path, &self.next.lock, &manifest).unwrap();
        publisher.sign(path);
    }

    /// A delta with these patches, whatever they are.
    fn forge(&self, forged: &[(&[u8], Vec<u8>, &Digest, u64)], path: &Path, publisher: &Publisher) {
        let contents: BTreeMap<Digest, Vec<u8>> =
            forged.iter().map(|(_, content, ..)| (Digest::sha256(content), content.clone())).collect();
        let patches = forged.iter().map(|(layer, content, base, base_size)| {
            let (base, digest) = ((*base).clone(), Digest::sha256(content));
            let (format, tool) = (patch::FORMAT.to_owned(), "forged".to_owned());
            let size = content.len() as u64;
            (Digest::sha256(layer), Patch { format, tool, digest, size, offset: 0, base, base_size: *base_size })
        });
        let manifest = self.baseline.patched(self.unpatched(None), patches.collect(), self.bases).unwrap();
        let writer = Writer::create_with(path, &self.next.lock, &manifest).unwrap();
        for patch in writer.missing_patches() {
            let mut slot = writer.slot(&patch).unwrap();
            slot.write(&contents[&patch]).unwrap();
            slot.finish().unwrap();
        }
        fill(writer, self.next);
        publisher.sign(path);
    }
}

fn write_whole(cargo: &Cargo, manifest: &Manifest, path: &Path) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
    fill(Writer::create_with(path, &cargo.lock, manifest).unwrap(), cargo);
}

fn fill(writer: Writer, cargo: &Cargo) {
    for blob in writer.missing() {
        let mut slot = writer.slot(&blob.digest).unwrap();
        slot.write(&cargo.contents[&blob.digest]).unwrap();
        slot.finish().unwrap();
    }
    writer.finish().unwrap();
}

/// A site that has imported the first bundle.
struct Scene {
    folder: tempfile::TempDir,
    publisher: Publisher,
    site: Site,
    bases: Bases,
    shelf: Shelf,
    next: Cargo,
}

impl Scene {
    fn new(layer: &[u8]) -> Self {
        let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
        let site = Site::new(&publisher);
        let first = cargo(1, BASE).build(folder.path(), &publisher);
        site.import(&first).unwrap();
        let (mut bases, mut shelf) = (Bases::default(), Shelf::default());
        let first = Archive::open(&first).unwrap();
        bases.add(first.manifest_bytes()).unwrap();
        shelf.add(first).unwrap();
        Self { folder, publisher, site, bases, shelf, next: cargo(2, layer) }
    }

    fn bench(&self) -> Bench<'_> {
        let receipt = self.site.trust.accepted(&self.next.lock.stream).unwrap().unwrap().receipt;
        let baseline = Baseline::open(&receipt, self.site.keys.root()).unwrap();
        Bench { baseline, bases: &self.bases, next: &self.next, folder: self.folder.path() }
    }

    fn delta(&self, name: &str, want: Option<&WantList>) -> PathBuf {
        let path = self.folder.path().join(name);
        self.bench().build(&self.shelf, want, &path, &self.publisher);
        path
    }

    fn forged(&self, content: Vec<u8>) -> PathBuf {
        let path = self.folder.path().join("forged");
        let base = Digest::sha256(BASE);
        self.bench().forge(&[(GO, content, &base, BASE.len() as u64)], &path, &self.publisher);
        path
    }

    fn want_list(&self, bundle: &Path) -> WantList {
        assert_eq!(self.site.refusal(bundle), "BASE_MISSING");
        assert!(self.site.store.stagings().unwrap().is_empty() && self.site.store.held_blobs().unwrap().is_empty());
        let Err(ImportError::Base(missing)) = self.site.import(bundle) else { panic!("the base was not missing") };
        missing.want_list().unwrap().clone()
    }
}

fn manifest_of(bundle: &Path) -> Manifest {
    Archive::open(bundle).unwrap().unverified_manifest().unwrap()
}

/// A patch that makes `layer` of the vectors' base.
fn patch_of(base: &[u8], layer: &[u8]) -> Vec<u8> {
    let sketch = patch::Sketch::of(base).unwrap().unwrap();
    let mut made = Vec::new();
    patch::make(base, &sketch, layer, &mut made).unwrap();
    made
}

#[test]
fn a_layer_that_changed_comes_as_a_patch_and_is_made_byte_for_byte() {
    for layer in [GO, ZLIB] {
        let scene = Scene::new(layer);
        let delta = scene.delta("delta", None);
        let manifest = manifest_of(&delta);
        let (blob, patch) = manifest.patched().next().unwrap();
        assert_eq!((&blob.digest, &patch.base), (&Digest::sha256(layer), &Digest::sha256(BASE)));
        assert!(patch.size * 3 < blob.size);
        let patching = manifest.patching();
        assert_eq!((patching.layers, patching.bytes, patching.instead_of), (1, patch.size, blob.size));

        let ImportOutcome::Published(imported) = scene.site.import(&delta).unwrap() else { panic!("nothing to do") };
        assert_eq!(imported.written, manifest.carried().map(|blob| blob.size).sum::<u64>() + blob.size);
        for (digest, content) in &scene.next.contents {
            assert!(fs::read(scene.site.store.blob_path(digest)).unwrap() == *content);
        }
        assert!(!scene.site.store.has_blob(&patch.digest).unwrap(), "a patch is no content");
        assert!(scene.site.store.stagings().unwrap().is_empty());
    }
}

#[test]
fn lock_receipt_and_bases_determine_every_byte_behind_the_signatures() {
    let scene = Scene::new(GO);
    let [one, two] = ["one", "two"].map(|name| fs::read(scene.delta(name, None)).unwrap());
    assert!(one[1 << 20..] == two[1 << 20..]);
    let digest = |name: &str| Archive::open(&scene.folder.path().join(name)).unwrap().manifest_digest();
    assert_eq!(digest("one"), digest("two"));
    let with = manifest_of(&scene.folder.path().join("one")).without_patches();
    assert_eq!(with, scene.bench().unpatched(None).without_patches());
}

#[test]
fn a_layer_that_was_patched_is_the_base_of_the_next_one() {
    let mut scene = Scene::new(GO);
    let second = scene.delta("second", None);
    scene.site.import(&second).unwrap();
    scene.bases.add(Archive::open(&second).unwrap().manifest_bytes()).unwrap();
    // The delta itself has no more than the patch: the layer is in the full bundle.
    let full = scene.next.write(&scene.folder.path().join("full"));
    scene.shelf.add(Archive::open(&full).unwrap()).unwrap();
    scene.next = cargo(3, ZLIB);
    let third = scene.delta("third", None);
    let manifest = manifest_of(&third);
    assert_eq!(manifest.patched().next().unwrap().1.base, Digest::sha256(GO), "the nearer one");
    scene.site.import(&third).unwrap();
    assert!(fs::read(scene.site.store.blob_path(&Digest::sha256(ZLIB))).unwrap() == ZLIB);
}

#[test]
fn a_layer_that_moved_to_another_repository_is_patched_too() {
    let mut scene = Scene::new(GO);
    scene.next = Cargo::of_files("base", 2, &[("renamed", GO.to_vec())]);
    let delta = scene.delta("delta", None);
    let manifest = manifest_of(&delta);
    assert_eq!((manifest.patched().count(), manifest.base.unwrap().manifests.len()), (1, 1));
    scene.site.import(&delta).unwrap();
}

#[test]
fn what_is_like_nothing_or_cannot_be_made_again_is_carried_whole() {
    for layer in [noise(9, 60_000), [&[0x28, 0xb5, 0x2f, 0xfd][..], &noise(9, 60_000)].concat()] {
        let scene = Scene::new(&layer);
        let (_, patches) = scene.bench().make(&scene.shelf, None);
        assert!(patches.is_empty());
    }
}

#[test]
fn a_missing_base_is_named_and_its_layer_is_then_carried_whole() {
    let scene = Scene::new(GO);
    fs::remove_file(scene.site.store.blob_path(&Digest::sha256(BASE))).unwrap();
    let wanted = scene.want_list(&scene.delta("delta", None));
    let [blob] = &wanted.blobs[..] else { panic!("{wanted:?}") };
    assert_eq!((&blob.digest, blob.size), (&Digest::sha256(GO), GO.len() as u64));
    assert_eq!(blob.base, Some(Digest::sha256(BASE)));
    assert_eq!(blob.needed_by, ["files.example/app:1"]);
    let wanted = WantList::from_bytes(&wanted.to_bytes().unwrap()).unwrap();
    let second = scene.delta("second", Some(&wanted));
    assert_eq!(manifest_of(&second).patched().count(), 0);
    scene.site.import(&second).unwrap();
}

#[test]
fn a_base_that_has_rotted_is_wanted_too() {
    let scene = Scene::new(GO);
    let path = scene.site.store.blob_path(&Digest::sha256(BASE));
    let mut content = fs::read(&path).unwrap();
    content[9_000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    let wanted = scene.want_list(&scene.delta("delta", None));
    assert_eq!(wanted.blobs[0].base, Some(Digest::sha256(BASE)));
    scene.site.import(&scene.delta("second", Some(&wanted))).unwrap();
}

#[test]
fn a38_a_patch_that_makes_another_layer_is_refused() {
    let scene = Scene::new(GO);
    assert_eq!(scene.site.refusal(&scene.forged(patch_of(BASE, ZLIB))), "PATCH");
    assert!(scene.site.store.stagings().unwrap().is_empty() && scene.site.store.held_blobs().unwrap().is_empty());
}

#[test]
fn a38_a_patch_that_bursts_lies_or_is_none_is_refused() {
    let good = patch_of(BASE, GO);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let bomb = {
        let frame = sealock_testkit::zstd::bomb();
        let mut patch = good[..17].to_vec();
        patch.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        patch.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_le_bytes());
        [patch, frame].concat()
    };
    let longer = patch_of(BASE, &[GO, GO].concat());
    for content in [b"no patch".to_vec(), good[..good.len() - 1].to_vec(), flipped, bomb, longer] {
        let scene = Scene::new(GO);
        assert_eq!(scene.site.refusal(&scene.forged(content)), "PATCH");
    }
}

/// Else a publisher could put a name on what another one has brought.
#[test]
fn a_patch_has_to_make_even_what_the_store_has() {
    let scene = Scene::new(GO);
    let stranger = Publisher::new();
    scene.site.enroll(&stranger, "apps");
    let theirs = Cargo::of_files("apps/secret", 1, &[("secret", GO.to_vec())]);
    scene.site.import(&theirs.build(scene.folder.path(), &stranger)).unwrap();
    assert!(scene.site.store.has_blob(&Digest::sha256(GO)).unwrap());
    let forged = scene.forged(patch_of(BASE, ZLIB));
    assert_eq!(scene.site.refusal(&forged), "PATCH");
    fs::remove_file(&forged).unwrap();
    scene.site.import(&scene.forged(patch_of(BASE, GO))).unwrap();
}

#[test]
fn what_another_publisher_has_brought_is_no_base_of_a_patch() {
    let scene = Scene::new(GO);
    let stranger = Publisher::new();
    scene.site.enroll(&stranger, "apps");
    let secret = ZLIB.to_vec();
    let theirs = Cargo::of_files("apps/secret", 1, &[("secret", secret.clone())]);
    scene.site.import(&theirs.build(scene.folder.path(), &stranger)).unwrap();
    let path = scene.folder.path().join("spy");
    let (base, size) = (Digest::sha256(&secret), secret.len() as u64);
    scene.bench().forge(&[(GO, patch_of(&secret, GO), &base, size)], &path, &scene.publisher);
    assert_eq!(scene.want_list(&path).blobs[0].base, Some(base));
}

#[test]
fn a_manifest_that_contradicts_its_patches_is_refused() {
    let scene = Scene::new(GO);
    let good = manifest_of(&scene.delta("delta", None));
    assert_eq!(Manifest::from_bytes(&good.to_bytes().unwrap()).unwrap(), good);
    let at = good.blobs.iter().position(|blob| blob.patch.is_some()).unwrap();
    let mut problems = Vec::new();
    let mut refused = |what: &str, change: &dyn Fn(&mut Vec<Blob>, &mut Patch)| {
        let mut manifest = good.clone();
        let mut patch = manifest.blobs[at].patch.take().unwrap();
        change(&mut manifest.blobs, &mut patch);
        manifest.blobs[at].patch = Some(patch);
        let error = Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error.code().as_str(), "FORMAT", "{error}");
        problems.push(format!("{what}: {error}"));
    };
    let carried = good.carried().next().unwrap().digest.clone();
    refused("a format of the future", &|_, patch| patch.format = "layer-patch/2.0".to_owned());
    refused("larger than its layer", &|blobs, patch| patch.size = blobs[at].size);
    refused("empty", &|_, patch| patch.size = 0);
    refused("elsewhere", &|_, patch| patch.offset += 512);
    refused("both ways", &|blobs, patch| blobs[at].offset = Some(patch.offset));
    refused("called as a blob", &|_, patch| patch.digest = carried.clone());
    refused("on what the bundle carries", &|_, patch| patch.base = carried.clone());
    refused("on itself", &|blobs, patch| patch.base = blobs[at].digest.clone());
    refused("on a patch", &|_, patch| patch.base = patch.digest.clone());
    let problems = problems.join("\n");
    let mut pieces = problems.split("sha256:");
    let first = pieces.next().unwrap().to_owned();
    let blanked = pieces.fold(first, |text, piece| format!("{text}[DIGEST]{}", &piece[64..]));
    insta::assert_snapshot!(blanked);
    let mut manifest = good.clone();
    manifest.base = None;
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap_err().code().as_str(), "FORMAT");
}

#[test]
fn what_is_proven_depends_on_where_the_base_is() {
    let scene = Scene::new(GO);
    let delta = scene.delta("delta", None);
    let header = |bundle: &Path| verify::header(Archive::open(bundle).unwrap(), &scene.publisher.against()).unwrap();
    let verified = header(&delta).check_payload(&mut |_| {}).unwrap();
    assert_eq!(verified.prove_patches(&scene.site.store).unwrap().layers, 0);
    let bare = Site::new(&scene.publisher);
    let unproven = verified.prove_patches(&bare.store).unwrap();
    assert_eq!((unproven.layers, unproven.instead_of), (1, GO.len() as u64));
    let forged = header(&scene.forged(patch_of(BASE, ZLIB))).check_payload(&mut |_| {}).unwrap();
    let error = forged.prove_patches(&scene.site.store).unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "PATCH", "{error}");
}

#[test]
fn a_full_disk_at_any_step_is_no_refusal_and_the_same_import_goes_on() {
    let layer = Digest::sha256(GO);
    for step in 0.. {
        let scene = Scene::new(GO);
        let delta = scene.delta("delta", None);
        let mut left: i32 = step;
        failpoint::set(move |_| {
            left -= 1;
            if left < 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let outcome = scene.site.import(&delta);
        failpoint::set(|_| Ok(()));
        let Err(error) = outcome else {
            assert!(step > 10, "only {step} steps were found");
            break;
        };
        assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error}");
        scene.site.import(&delta).unwrap_or_else(|error| panic!("after step {step}: {error}"));
        assert!(fs::read(scene.site.store.blob_path(&layer)).unwrap() == GO, "after step {step}");
        assert!(scene.site.store.stagings().unwrap().is_empty(), "after step {step}");
    }
}
