//! Importing in place: the same verdicts as ever, and a bundle that the store serves from.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use sealock_bundle::Archive;
use sealock_bundle::delta::{Baseline, Bases, Shelf};
use sealock_bundle::import::{ImportError, ImportOutcome, Imported, Terms, import, import_archive};
use sealock_store::lent::{Migrated, Migration};
use sealock_store::{Store, StoreError, failpoint};
use sealock_trust::{Digest, Receipt};

use crate::crash::{die_at, died, durable_site, open_site, variable};
use crate::patches::{BASE, Bench, GO, cargo};
use crate::support::{Cargo, Publisher, Site, noise, now, sample};
use crate::volumes::Media;

const DIE_AT: &str = "SEALOCK_TEST_DIE_AT";
const FOLDER: &str = "SEALOCK_TEST_FOLDER";

pub(crate) fn terms() -> Terms {
    Terms { in_place: true, ..Terms::at(now()) }
}

/// The bundle, in a file that nobody else can write, whatever the umask is.
fn build(cargo: &Cargo, folder: &Path, publisher: &Publisher) -> PathBuf {
    let path = cargo.build(folder, publisher);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn published(outcome: ImportOutcome) -> Imported {
    let ImportOutcome::Published(imported) = outcome else { panic!("{outcome:?}") };
    imported
}

fn read(store: &Store, digest: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.open_blob(digest).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn check_holds(store: &Store, cargo: &Cargo) {
    for (digest, content) in &cargo.contents {
        assert!(read(store, digest) == *content);
    }
}

fn migrate(store: &Store) -> Migrated {
    let pace = &mut |_| ControlFlow::Continue(());
    Migration { store, guard: None, clock: &now, headroom: 0, pace }.run().unwrap()
}

#[test]
fn a_bundle_becomes_a_release_and_no_blob_is_written() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let (site, other) = (Site::new(&publisher), Site::new(&publisher));
    let cargo = sample("base", 1);
    let path = build(&cargo, folder.path(), &publisher);
    let bytes = fs::read(&path).unwrap();
    other.import(&path).unwrap();

    let mut seen = Vec::new();
    let outcome = import(&path, site.station(), &terms(), &mut |progress| seen.push(progress)).unwrap();
    let imported = published(outcome);
    assert_eq!((imported.release, imported.written, imported.lent), (1, 0, cargo.lock.content_size()));
    assert_eq!(imported.left_at, None);
    assert_eq!((seen.len(), seen.last().unwrap().done + 1024), (cargo.lock.blobs.len(), seen[0].total));
    check_holds(&site.store, &cargo);
    assert!(!path.exists() && site.store.stagings().unwrap().is_empty() && site.store.held_blobs().unwrap().is_empty());
    for digest in cargo.contents.keys() {
        assert!(!site.store.blob_path(digest).exists());
    }
    let references = |site: &Site| site.store.current_release(site.keys.key_set()).unwrap().unwrap().release.references;
    assert_eq!(references(&site), references(&other));
    let receipt = site.trust.accepted(&cargo.lock.stream).unwrap().unwrap().receipt;
    assert_eq!(Receipt::verify(&receipt, site.keys.key_set()).unwrap().manifest, imported.manifest);

    // What was taken in is the bundle, byte for byte: any reader of OCI layouts reads it where it stands.
    let name = format!("sha256-{}.tar", imported.manifest.hex());
    let taken = site.store.path().join("lent").join(name);
    assert!(fs::read(&taken).unwrap() == bytes);
    let migrated = migrate(&site.store);
    assert_eq!((migrated.moved.blobs, migrated.bundles), (cargo.lock.blobs.len() as u64 + 1, 1));
    check_holds(&site.store, &cargo);
    for digest in cargo.contents.keys() {
        assert!(site.store.blob_path(digest).exists());
    }
    assert!(!taken.exists());
}

#[test]
fn the_next_bundle_brings_only_what_is_new_either_way() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    site.import_on(&build(&sample("base", 1), folder.path(), &publisher), &terms()).unwrap();
    let second = site.import_on(&build(&sample("base", 2), folder.path(), &publisher), &terms()).unwrap();
    let second = published(second);
    assert!(second.lent < 2_000 && second.written == 0, "{second:?}");
    let third = published(site.import(&build(&sample("base", 3), folder.path(), &publisher)).unwrap());
    assert!(third.written < 2_000 && third.lent == 0, "{third:?}");
    for sequence in 1..=3 {
        check_holds(&site.store, &sample("base", sequence));
    }
    assert_eq!(migrate(&site.store).bundles, 2);
    for sequence in 1..=3 {
        check_holds(&site.store, &sample("base", sequence));
    }
}

/// Bases are read wherever they stand.
#[test]
fn a_delta_and_its_patches_build_on_what_is_lent() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let first = build(&cargo(1, BASE), folder.path(), &publisher);
    let copy = folder.path().join("copy");
    fs::copy(&first, &copy).unwrap();
    site.import_on(&first, &terms()).unwrap();

    let (next, first) = (cargo(2, GO), Archive::open(&copy).unwrap());
    let (mut bases, mut shelf) = (Bases::default(), Shelf::default());
    bases.add(first.manifest_bytes()).unwrap();
    shelf.add(first).unwrap();
    let receipt = site.trust.accepted(&next.lock.stream).unwrap().unwrap().receipt;
    let baseline = Baseline::open(&receipt, site.keys.root()).unwrap();
    let delta = folder.path().join("delta");
    Bench { baseline, bases: &bases, next: &next, folder: folder.path() }.build(&shelf, None, &delta, &publisher);
    fs::set_permissions(&delta, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Archive::open(&delta).unwrap().unverified_manifest().unwrap().patched().count(), 1);

    let before = site.snapshot();
    let error = site.import_on(&delta, &terms()).unwrap_err();
    assert!(matches!(error, ImportError::DeltaInPlace) && !error.is_refusal(), "{error}");
    assert!(site.snapshot() == before && delta.exists());
    site.import(&delta).unwrap();
    check_holds(&site.store, &next);
}

#[test]
fn volumes_are_not_imported_in_place() {
    let (media, publisher) = (Media::new("2MiB", "10%"), Publisher::new());
    let archive = media.find().unwrap().archive().unwrap();
    let site = Site::new(&publisher);
    // Another publisher's, and refused for that: what a bundle is counts for more than how it comes.
    let error = import_archive(archive.clone(), site.station(), &terms(), &mut |_| {}).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    let site = media.site();
    let before = site.snapshot();
    let error = import_archive(archive.clone(), site.station(), &terms(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ImportError::InVolumes) && !error.is_refusal(), "{error}");
    assert_eq!(site.snapshot(), before);
    import_archive(archive, site.station(), &Terms::at(now()), &mut |_| {}).unwrap();
}

#[test]
fn a_file_that_others_can_write_stays_where_it_is() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let path = build(&sample("base", 1), folder.path(), &publisher);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let before = site.snapshot();
    let error = site.import_on(&path, &terms()).unwrap_err();
    assert!(matches!(error, ImportError::Store(StoreError::Writable { .. })) && error.is_environment(), "{error}");
    assert!(site.snapshot() == before && path.exists());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    site.import_on(&path, &terms()).unwrap();
    check_holds(&site.store, &sample("base", 1));
}

#[test]
fn what_was_imported_before_stays_where_it_is() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let path = build(&sample("base", 1), folder.path(), &publisher);
    site.import(&path).unwrap();
    let before = site.snapshot();
    let outcome = site.import_on(&path, &terms()).unwrap();
    assert!(matches!(outcome, ImportOutcome::Already(imported) if imported.release == 1 && imported.lent == 0));
    assert!(site.snapshot() == before && path.exists());
}

/// A damaged bundle is refused however it comes, and leaves what was begun by the other way.
#[test]
fn what_was_begun_one_way_can_be_finished_the_other() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = sample("base", 1);
    for first_in_place in [true, false] {
        let site = Site::new(&publisher);
        let path = build(&cargo, folder.path(), &publisher);
        let (first, second) = if first_in_place { (terms(), Terms::at(now())) } else { (Terms::at(now()), terms()) };
        failpoint::set(|step| if step == "symlink" { Err(io::ErrorKind::Other.into()) } else { Ok(()) });
        site.import_on(&path, &first).unwrap_err();
        failpoint::set(|_| Ok(()));
        site.import_on(&path, &second).unwrap();
        check_holds(&site.store, &cargo);
        assert!(site.store.stagings().unwrap().is_empty());
        assert_eq!(path.exists(), first_in_place, "the one that was asked for in the end counts");
    }
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let (Some(step), Some(folder)) = (variable(DIE_AT), variable(FOLDER)) else { return };
    die_at(&step);
    import_sealed(Path::new(&folder)).unwrap();
}

fn import_sealed(folder: &Path) -> Result<ImportOutcome, ImportError> {
    let (store, trust, keys) = open_site(folder);
    let station = sealock_bundle::Station { store: &store, trust: &trust, site: &keys };
    import(&folder.join("base-1.sealock"), station, &terms(), &mut |_| {})
}

#[test]
fn killed_at_every_step_the_bundle_is_where_it_was_or_is_served() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = Cargo::of_files("base", 1, &[("aligned", noise(3, (1 << 20) + 17)), ("own", b"own".to_vec())]);
    let mut step = 0;
    loop {
        let here = folder.path().join(format!("step-{step}"));
        fs::create_dir(&here).unwrap();
        durable_site(&here, &publisher);
        let path = build(&cargo, &here, &publisher);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "in_place::child", "--nocapture"]).env(DIE_AT, step.to_string()).env(FOLDER, &here);
        let died = died(&mut child);
        let (store, _, keys) = open_site(&here);
        let is_served = store.current_release(keys.key_set()).unwrap().is_some();
        assert!(is_served || (died && path.exists()), "after step {step}");
        if path.exists() {
            import_sealed(&here).unwrap();
        }
        assert!(!path.exists(), "after step {step}");
        assert!(store.stagings().unwrap().is_empty() && store.held_blobs().unwrap().is_empty(), "after step {step}");
        check_holds(&store, &cargo);
        assert_eq!(migrate(&store).bundles, 1, "after step {step}");
        check_holds(&store, &cargo);
        fs::remove_dir_all(&here).unwrap();
        if !died {
            break;
        }
        step += 1;
    }
    assert!(step > 30, "only {step} steps were found: are the store's failpoints built in?");
}

#[test]
fn the_disk_is_full_at_every_step() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = Cargo::of_files("base", 1, &[("own", b"own".to_vec())]);
    for step in 0.. {
        let site = Site::new(&publisher);
        let path = build(&cargo, folder.path(), &publisher);
        let counter = Rc::new(Cell::new(0));
        let count = Rc::clone(&counter);
        failpoint::set(move |_| {
            count.set(count.get() + 1);
            if count.get() > step { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let outcome = site.import_on(&path, &terms());
        failpoint::set(|_| Ok(()));
        match outcome {
            Err(error) => {
                assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error}");
                assert!(path.exists(), "step {step}");
                site.import_on(&path, &terms()).unwrap_or_else(|error| panic!("after step {step}: {error}"));
            }
            // All but its other name was done.
            Ok(outcome) if counter.get() > step => {
                assert!(path.exists() == published(outcome).left_at.is_some(), "step {step}");
                if path.exists() {
                    site.import_on(&path, &terms()).unwrap();
                }
            }
            Ok(_) => {
                assert!(step > 30, "only {step} steps were found");
                break;
            }
        }
        assert!(!path.exists() && site.release() == Some(1), "after step {step}");
        check_holds(&site.store, &cargo);
    }
}
