//! What bundles lend: served in place, migrated, collected, looked through for rot. What cuts it off is in `lent_crash`.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealock_store::lent::Lent;
use sealock_store::operations::Operation;
use sealock_store::scrub::{Scrub, Scrubbed};
use sealock_store::{Store, StoreError, failpoint};
use sealock_trust::Digest;

use crate::loan::{Loan, migrate, migrate_with};
use crate::shelf::{Image, Shelf};
use crate::site::{at, files};

const FOLDER: &str = "SEALOCK_TEST_FOLDER";

pub(crate) fn loan() -> Loan {
    Loan::of(1, &["one", "two"])
}

/// A store that has taken the bundle in.
fn lending(folder: &Path) -> Shelf {
    let shelf = Shelf::new(folder);
    loan().take_in(&shelf, &loan().file(&shelf)).unwrap();
    shelf
}

fn read(store: &Store, content: &[u8]) -> Option<Vec<u8>> {
    let mut blob = store.open_blob(&Digest::sha256(content)).unwrap()?;
    assert_eq!(blob.size(), content.len() as u64);
    let mut bytes = Vec::new();
    blob.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// Everything in the bundle is there, whoever has it.
pub(crate) fn check_whole(shelf: &Shelf, loan: &Loan) {
    let store = shelf.store();
    for content in loan.bundle.lent() {
        assert!(read(&store, content).as_ref() == Some(content));
    }
    shelf.site.open().check_whole(&shelf.site.current().unwrap().release).unwrap();
}

/// Nothing is left over of what was done.
pub(crate) fn check_clean(shelf: &Shelf) {
    let store = shelf.store();
    assert_eq!(store.stagings().unwrap(), [] as [String; 0]);
    assert!(store.held_blobs().unwrap().is_empty());
    let number = store.current_number().unwrap().unwrap();
    let last = store.operations().unwrap().pop().map(|record| record.operation);
    assert_eq!(last, Some(Operation::Published { release: number }));
}

fn scrub(shelf: &Shelf) -> Scrubbed {
    let store = shelf.store();
    let pace = &mut |_| ControlFlow::Continue(());
    Scrub { store: &store, guard: None, clock: &|| at(10), before: None, pace }.run().unwrap()
}

fn findings(shelf: &Shelf) -> Vec<String> {
    let mut pace = |_| ControlFlow::Continue(());
    shelf.store().check(&shelf.site.keys(), &shelf.plan(None, 0), Some(&mut pace)).unwrap().findings
}

/// Flips a bit of the blob in the bundle that was taken in.
fn rot(shelf: &Shelf, loan: &Loan, blob: &[u8]) {
    loan.bundle.rot(&loan.taken(shelf), blob);
}

#[test]
fn what_a_bundle_lends_is_read_as_any_blob_and_was_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    // Whoever had the store open before sees it, too.
    let before = shelf.store();
    assert!(!before.has_blob(&loan().digest()).unwrap());
    let path = loan().file(&shelf);
    let published = loan().take_in(&shelf, &path).unwrap();
    assert_eq!(published.release.number, 1);
    check_whole(&shelf, &loan());
    assert!(read(&before, &loan().bundle.manifest).is_some());
    assert!(!path.exists() && loan().taken(&shelf).exists());
    assert_eq!(fs::metadata(loan().taken(&shelf)).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(files(&shelf.site.store.join("blobs")), [] as [std::path::PathBuf; 0]);

    let bytes = loan().bundle.lent().map(|blob| blob.len() as u64).sum::<u64>();
    let lent = before.lent().unwrap();
    assert_eq!((lent.bundles, lent.blobs.blobs, lent.blobs.bytes), (1, 7, bytes));
    let status = before.status(&shelf.plan(None, 0), at(20)).unwrap();
    assert_eq!((status.lent, status.blobs.blobs, status.missing.len(), status.doubts.len()), (lent, 7, 0, 0));
    assert_eq!(findings(&shelf), [] as [String; 0]);
    assert_eq!(scrub(&shelf).verified.blobs, 7);
    check_clean(&shelf);
}

#[test]
fn migration_makes_files_of_it_and_whoever_reads_meanwhile_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let layer = Image::of("one").layer;
    let store = shelf.store();
    let mut open = store.open_blob(&Digest::sha256(&layer)).unwrap().unwrap();
    let mut begun = [0; 100];
    open.read_exact(&mut begun).unwrap();

    let migrated = migrate(&shelf).unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles, migrated.left.blobs), (7, 1, 0), "{migrated:?}");
    let mut rest = begun.to_vec();
    open.read_to_end(&mut rest).unwrap();
    assert!(rest == layer);
    for content in loan().bundle.lent() {
        let path = store.blob_path(&Digest::sha256(content));
        assert!(fs::read(&path).unwrap() == *content);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
    }
    check_whole(&shelf, &loan());
    assert!(!loan().taken(&shelf).exists());
    assert_eq!(store.lent().unwrap(), Lent::default());
    assert_eq!(migrate(&shelf).unwrap(), sealock_store::lent::Migrated::default());
    assert_eq!(findings(&shelf), [] as [String; 0]);
}

#[test]
fn a_pass_that_is_stopped_or_has_no_room_leaves_the_rest_lent() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let none = migrate_with(&shelf, u64::MAX / 2, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(none.no_room && none.moved.blobs == 0 && none.left.blobs == 7, "{none:?}");
    let mut pieces = 0;
    let stopped = migrate_with(&shelf, 0, &mut |_| {
        pieces += 1;
        if pieces == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stopped = stopped.unwrap();
    assert_eq!((stopped.moved.blobs, stopped.left.blobs, stopped.bundles, stopped.no_room), (2, 5, 0, false));
    check_whole(&shelf, &loan());
    assert!(!shelf.site.store.join("lent/partial").exists());
    assert_eq!(migrate(&shelf).unwrap().moved.blobs, 5);
    check_whole(&shelf, &loan());
}

#[test]
fn beside_an_import_blobs_are_moved_and_the_bundle_goes_later() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let import = shelf.store().lock().unwrap();
    let migrated = migrate(&shelf).unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles), (7, 0));
    assert!(loan().taken(&shelf).exists());
    drop(import);
    assert_eq!(migrate(&shelf).unwrap().bundles, 1);
    assert!(!loan().taken(&shelf).exists());
    check_whole(&shelf, &loan());
}

#[test]
fn two_do_not_migrate_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let mut tried = false;
    migrate_with(&shelf, 0, &mut |_| {
        if !tried {
            tried = true;
            assert!(matches!(migrate(&shelf), Err(StoreError::Locked { .. })));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(tried);
}

#[test]
fn what_the_store_has_already_is_not_lent() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    shelf.publish("base", 1, &["one"]).unwrap();
    let loan = Loan::of(2, &["one", "two"]);
    loan.take_in(&shelf, &loan.file(&shelf)).unwrap();
    assert_eq!(shelf.store().lent().unwrap().blobs.blobs, 4);
    let migrated = migrate(&shelf).unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles), (4, 1));
    check_whole(&shelf, &loan);
}

#[test]
fn a_damaged_file_makes_way_for_what_is_lent() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    shelf.publish("base", 1, &["one"]).unwrap();
    shelf.damage(&shelf.store().blob_path(&Image::of("one").digests()[0]), |bytes| bytes.truncate(9));
    let loan = Loan::of(2, &["one", "two"]);
    loan.take_in(&shelf, &loan.file(&shelf)).unwrap();
    check_whole(&shelf, &loan);
    assert_eq!(findings(&shelf), [] as [String; 0]);
}

/// What comes later relies on what is lent, and outlives the bundle that lends it.
#[test]
fn a_later_import_finds_it_and_writes_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    shelf.publish("base", 2, &["two", "three"]).unwrap();
    assert!(!shelf.store().blob_path(&Image::of("two").digests()[0]).exists());
    shelf.store().lock().unwrap().retire(1, at(3)).unwrap();
    let condemned = shelf.collect(None, 10_000).unwrap();
    assert_eq!(condemned.condemned.blobs, 4, "the first image, and the first bundle's manifest");
    assert_eq!(shelf.collect(None, 20_000).unwrap().deleted.blobs, 4);
    assert!(!shelf.has("one") && shelf.has("two") && shelf.has("three"));
    assert!(loan().taken(&shelf).exists(), "it still lends the second image");
    assert_eq!(shelf.collect(None, 30_000).unwrap().plan.garbage, []);
    assert_eq!(migrate(&shelf).unwrap().moved.blobs, 3, "what nobody needs is not copied");
    assert!(!loan().taken(&shelf).exists() && shelf.has("two"));
    assert_eq!(findings(&shelf), [] as [String; 0]);
}

#[test]
fn a_bundle_that_nobody_needs_any_more_is_removed_with_its_release() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    shelf.publish("base", 2, &["three"]).unwrap();
    shelf.store().lock().unwrap().retire(1, at(3)).unwrap();
    assert_eq!(shelf.collect(None, 10_000).unwrap().condemned.blobs, 7);
    assert!(shelf.has("one"));
    assert_eq!(shelf.collect(None, 20_000).unwrap().deleted.blobs, 7);
    assert!(!shelf.has("one") && shelf.has("three"));
    assert_eq!(files(&shelf.site.store.join("lent")), [] as [std::path::PathBuf; 0]);

    // The same bundle, imported again: nothing of what was withdrawn before holds against it.
    let path = loan().file(&shelf);
    loan().take_in(&shelf, &path).unwrap();
    check_whole(&shelf, &loan());
}

/// A file that goes must not come back by a bundle that has it, too.
#[test]
fn what_is_deleted_is_lent_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    shelf.publish("base", 1, &["one"]).unwrap();
    let loan = Loan::of(2, &["one", "two"]);
    loan.take_in(&shelf, &loan.file(&shelf)).unwrap();
    shelf.publish("base", 3, &["two"]).unwrap();
    for release in [1, 2] {
        shelf.store().lock().unwrap().retire(release, at(4)).unwrap();
    }
    shelf.collect(None, 10_000).unwrap();
    shelf.collect(None, 20_000).unwrap();
    assert!(!shelf.has("one") && shelf.has("two"));
    assert_eq!(shelf.collect(None, 30_000).unwrap().plan.garbage, []);
}

#[test]
fn rot_in_a_bundle_is_found_taken_out_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let image = Image::of("one");
    let layer = image.digests()[0].clone();
    rot(&shelf, &loan(), &image.layer);
    assert!(findings(&shelf).iter().any(|finding| finding.contains(&layer.to_string())));
    let scrubbed = scrub(&shelf);
    assert_eq!((scrubbed.verified.blobs, scrubbed.rotten.len()), (6, 1), "{scrubbed:?}");
    assert!(scrubbed.rotten[0].digest == layer && scrubbed.rotten[0].quarantined);
    let store = shelf.store();
    assert!(!store.has_blob(&layer).unwrap());
    assert_eq!(store.quarantined().unwrap(), std::slice::from_ref(&layer));
    let copy = fs::read(shelf.site.store.join("quarantine").join(format!("sha256-{}", layer.hex()))).unwrap();
    assert!(copy.len() == image.layer.len() && copy != image.layer, "people see what it has become");
    let last = store.operations().unwrap().pop().unwrap().operation;
    assert_eq!(last, Operation::Quarantine { blob: layer.clone(), problem: scrubbed.rotten[0].problem.clone() });
    assert_eq!(scrub(&shelf).rotten, []);

    let lock = store.lock().unwrap();
    let mut staging = lock.healing().unwrap();
    let mut writer = staging.write_blob(&layer, image.layer.len() as u64).unwrap();
    writer.push(&image.layer).unwrap();
    writer.finish().unwrap();
    assert_eq!(lock.heal(staging, at(11)).unwrap(), [layer]);
    drop(lock);
    check_whole(&shelf, &loan());
    assert_eq!(migrate(&shelf).unwrap().bundles, 1);
    check_whole(&shelf, &loan());
}

#[test]
fn rot_that_migration_finds_is_taken_out_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let image = Image::of("two");
    rot(&shelf, &loan(), &image.config);
    let migrated = migrate(&shelf).unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles, migrated.left.blobs), (6, 1, 0), "{migrated:?}");
    let [rotten] = migrated.rotten.as_slice() else { panic!("{migrated:?}") };
    assert!(rotten.quarantined && rotten.problem.contains("its content is"));
    assert_eq!(shelf.store().quarantined().unwrap(), [Digest::sha256(&image.config)]);
    assert!(!shelf.store().has_blob(&Digest::sha256(&image.config)).unwrap());
    assert!(!loan().taken(&shelf).exists());
}

/// Nobody takes it out while an import works; the bundle stays for as long.
#[test]
fn beside_an_import_rot_is_told_and_left_in_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    rot(&shelf, &loan(), &Image::of("two").config);
    let import = shelf.store().lock().unwrap();
    let migrated = migrate(&shelf).unwrap();
    assert!(!migrated.rotten[0].quarantined && migrated.moved.blobs == 6);
    drop(import);
    let migrated = migrate(&shelf).unwrap();
    assert!(migrated.rotten[0].quarantined && migrated.bundles == 1, "{migrated:?}");
}

#[test]
fn a_read_that_fails_once_takes_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let mut failed = false;
    failpoint::set(move |step| {
        let fails = step == "read blob" && !failed;
        failed |= fails;
        if fails { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let migrated = migrate(&shelf);
    failpoint::set(|_| Ok(()));
    let migrated = migrated.unwrap();
    assert_eq!((migrated.moved.blobs, migrated.left.blobs, migrated.rotten.len()), (6, 1, 0));
    assert_eq!(migrate(&shelf).unwrap().moved.blobs, 1);
}

#[test]
fn a_bundle_whose_header_has_rotted_lends_nothing_and_stays_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let taken = loan().taken(&shelf);
    shelf.damage(&taken, |bytes| bytes[2000] ^= 1);
    assert!(!shelf.store().has_blob(&loan().digest()).unwrap());
    let found = findings(&shelf);
    assert!(
        found.iter().any(|finding| finding.contains("what the bundle sha256:") && finding.contains("its manifest is")),
        "{found:?}"
    );
    assert!(!shelf.plan(None, 0).doubts.is_empty(), "what hangs on it is not known");
    assert_eq!(migrate(&shelf).unwrap().bundles, 0);
    assert!(taken.exists());
}

#[test]
fn a_bundle_that_became_shorter_lends_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let store = shelf.store();
    assert!(store.has_blob(&loan().digest()).unwrap());
    let last = loan().bundle.blobs.pop().unwrap();
    let length = loan().bundle.place_of(&last) as u64 + 3;
    fs::set_permissions(loan().taken(&shelf), fs::Permissions::from_mode(0o644)).unwrap();
    fs::OpenOptions::new().write(true).open(loan().taken(&shelf)).unwrap().set_len(length).unwrap();
    assert!(read(&store, &last).is_none(), "no answer is begun that cannot be finished");
    assert!(read(&store, &Image::of("one").layer).is_some());
}

#[test]
fn what_does_not_belong_there_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    fs::write(shelf.site.store.join("lent/notes.txt"), "x").unwrap();
    assert!(findings(&shelf)[0].ends_with("lent/notes.txt does not belong into a store"));
    check_whole(&shelf, &loan());
}

/// A power loss tears the line that was being written: that one is none, and the next one counts.
#[test]
fn a_torn_line_of_what_is_lent_no_more_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = lending(folder.path());
    let list = loan().taken(&shelf).with_extension("withdrawn");
    fs::write(&list, &Digest::sha256(&Image::of("one").layer).to_string()[..40]).unwrap();
    check_whole(&shelf, &loan());
    let image = Image::of("two");
    rot(&shelf, &loan(), &image.layer);
    assert_eq!(scrub(&shelf).rotten.len(), 1);
    assert!(!shelf.store().has_blob(&Digest::sha256(&image.layer)).unwrap());
    assert!(read(&shelf.store(), &Image::of("one").layer).is_some());
}

#[test]
fn what_others_can_write_is_not_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let path = loan().file(&shelf);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let error = loan().take_in(&shelf, &path).unwrap_err();
    assert!(matches!(error, StoreError::Writable { .. }) && error.is_environment() && !error.is_refusal(), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = folder.path().join("link.tar");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(loan().take_in(&shelf, &link), Err(StoreError::OtherFile { .. })));
    assert!(shelf.site.current().is_none() && path.exists());
    loan().take_in(&shelf, &path).unwrap();
}

#[test]
fn a_bundle_of_another_filesystem_is_not_taken_in() {
    sealock_testkit::small_disk::run("lent::on_a_small_disk", "8m", FOLDER);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn on_a_small_disk() {
    let folder = std::env::var(FOLDER).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (shelf, other) = (Shelf::new(Path::new(&folder)), Shelf::new(elsewhere.path()));
    let error = loan().take_in(&shelf, &loan().file(&other)).unwrap_err();
    assert!(matches!(error, StoreError::OtherFilesystem { .. }) && error.is_environment(), "{error}");
    assert!(loan().file(&other).exists() && shelf.site.current().is_none());

    // A nearly full disk takes no copy, and is enough for what is lent.
    loan().take_in(&shelf, &loan().file(&shelf)).unwrap();
    let filler = Path::new(&folder).join("filler");
    crate::site::fill_up(&filler);
    let migrated = migrate(&shelf).unwrap();
    assert!(migrated.no_room && migrated.left.blobs > 0, "{migrated:?}");
    check_whole(&shelf, &loan());
    fs::remove_file(filler).unwrap();
    assert_eq!(migrate(&shelf).unwrap().bundles, 1);
    check_whole(&shelf, &loan());
}

#[test]
fn what_nobody_has_hashed_is_not_lent() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    let path = loan().file(&shelf);
    let (store, file) = (shelf.store(), fs::File::open(&path).unwrap());
    let offer = sealock_store::lent::Offer::new(&store, file.into(), &path).unwrap();
    let lock = store.lock().unwrap();
    let mut staging = lock.staging(&loan().digest()).unwrap();
    staging.adopt(&offer).unwrap();
    loan().images().iter().for_each(|image| staging.confirm(&Digest::sha256(&image.manifest)));
    let error = lock.publish(loan().release(None).unwrap(), Some(staging), &shelf.site.key).unwrap_err();
    assert!(matches!(error, StoreError::NotVerified { .. }), "{error}");
    let other = Digest::sha256(b"another manifest");
    assert!(matches!(lock.staging(&other).unwrap().adopt(&offer), Err(StoreError::Foreign { .. })));
    assert_eq!(store.lent().unwrap(), Lent::default());
}

/// A publishing that came to nothing leaves no bundle behind that would be needed by nobody.
#[test]
fn what_an_abandoned_publishing_took_in_is_put_away() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    shelf.publish("base", 1, &["zero"]).unwrap();
    let loan = Loan::of(2, &["one", "two"]);
    let path = loan.file(&shelf);
    failpoint::set(|step| if step == "symlink" { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) });
    loan.take_in(&shelf, &path).unwrap_err();
    failpoint::set(|_| Ok(()));
    assert!(loan.taken(&shelf).exists() && path.exists());
    drop(shelf.store().lock().unwrap());
    assert!(!loan.taken(&shelf).exists() && path.exists());
    assert!(shelf.has("zero"));
    loan.take_in(&shelf, &path).unwrap();
    check_whole(&shelf, &loan);
}
