//! The scrub: rot is found, taken out, logged and healed.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sealock_store::operations::Operation;
use sealock_store::scrub::{Scrub, Scrubbed};
use sealock_store::{StoreError, failpoint};
use sealock_trust::Digest;

use crate::shelf::{Image, Shelf};
use crate::site::{at, files};

fn shelf(folder: &Path) -> Shelf {
    let shelf = Shelf::new(folder);
    shelf.publish("base", 1, &["one", "two"]).unwrap();
    shelf
}

fn scrub_at(shelf: &Shelf, now: Timestamp, before: Option<Timestamp>) -> Result<Scrubbed, StoreError> {
    let store = shelf.store();
    let clock = || now;
    Scrub { store: &store, guard: None, clock: &clock, before, pace: &mut |_| ControlFlow::Continue(()) }.run()
}

fn scrub(shelf: &Shelf) -> Scrubbed {
    scrub_at(shelf, at(10), None).unwrap()
}

fn rot(shelf: &Shelf, digest: &Digest) {
    shelf.damage(&shelf.store().blob_path(digest), |bytes| bytes[7] ^= 4);
}

fn heal(shelf: &Shelf, content: &[u8]) -> Result<Vec<Digest>, StoreError> {
    let lock = shelf.store().lock()?;
    let mut staging = lock.healing()?;
    let mut writer = staging.write_blob(&Digest::sha256(content), content.len() as u64)?;
    writer.push(content)?;
    writer.finish()?;
    lock.heal(staging, at(11))
}

#[test]
fn a_store_that_is_whole_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let before = files(&shelf.site.store.join("blobs"));
    let scrubbed = scrub(&shelf);
    assert_eq!((scrubbed.verified.blobs, scrubbed.rotten.len(), scrubbed.left.blobs), (7, 0, 0));
    assert_eq!(files(&shelf.site.store.join("blobs")), before);
    assert_eq!(shelf.store().operations().unwrap().len(), 2);
}

#[test]
fn one_flipped_bit_is_found_taken_out_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let layer = Image::of("one").digests()[0].clone();
    rot(&shelf, &layer);
    let scrubbed = scrub(&shelf);
    assert_eq!(scrubbed.verified.blobs, 6);
    let [rotten] = scrubbed.rotten.as_slice() else { panic!("{scrubbed:?}") };
    assert!(rotten.digest == layer && rotten.quarantined && rotten.problem.contains("its content is"), "{rotten:?}");
    assert!(!shelf.store().has_blob(&layer).unwrap());
    assert_eq!(shelf.store().quarantined().unwrap(), std::slice::from_ref(&layer));
    let last = shelf.store().operations().unwrap().pop().unwrap().operation;
    assert_eq!(last, Operation::Quarantine { blob: layer, problem: rotten.problem.clone() });
    assert_eq!(scrub(&shelf).rotten, [], "it is out of the way");
}

#[test]
fn only_the_right_bytes_heal() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let image = Image::of("one");
    let layer = image.digests()[0].clone();
    rot(&shelf, &layer);
    scrub(&shelf);
    assert!(shelf.store().wanted(&shelf.site.keys()).unwrap().contains(&layer));

    let lock = shelf.store().lock().unwrap();
    let mut staging = lock.healing().unwrap();
    let mut wrong = image.layer.clone();
    wrong[7] ^= 4;
    let mut writer = staging.write_blob(&layer, wrong.len() as u64).unwrap();
    writer.push(&wrong).unwrap();
    assert!(matches!(writer.finish(), Err(StoreError::WrongDigest { .. })));
    assert_eq!(lock.heal(staging, at(11)).unwrap(), []);
    drop(lock);

    assert_eq!(heal(&shelf, &image.layer).unwrap(), std::slice::from_ref(&layer));
    assert_eq!(shelf.store().quarantined().unwrap(), []);
    assert!(shelf.store().wanted(&shelf.site.keys()).unwrap().is_empty());
    let last = shelf.store().operations().unwrap().pop().unwrap().operation;
    assert_eq!(last, Operation::Heal { blob: layer });
    assert_eq!(scrub(&shelf).verified.blobs, 7);
    assert_eq!(shelf.store().stagings().unwrap(), [] as [String; 0]);
}

/// A manifest that has rotted where it stands has its old size.
#[test]
fn what_has_rotted_in_place_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let image = Image::of("one");
    let manifest = image.digests()[2].clone();
    rot(&shelf, &manifest);
    assert!(shelf.store().wanted(&shelf.site.keys()).unwrap().contains(&manifest));
    heal(&shelf, &image.manifest).unwrap();
    assert_eq!(shelf.plan(None, 0).doubts, [] as [String; 0]);
}

#[test]
fn a_blob_that_the_disk_does_not_give_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    failpoint::set(|step| if step == "read blob" { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) });
    let scrubbed = scrub_at(&shelf, at(10), None);
    failpoint::set(|_| Ok(()));
    let scrubbed = scrubbed.unwrap();
    assert_eq!(scrubbed.rotten.len(), 7);
    assert!(scrubbed.rotten.iter().all(|rotten| rotten.quarantined && rotten.problem.contains("cannot be read")));
}

/// A read that fails once is the cable's fault, or the memory's, and not the blob's.
#[test]
fn what_is_whole_at_the_second_look_stays() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let mut failed = false;
    failpoint::set(move |step| {
        let fails = step == "read blob" && !failed;
        failed |= fails;
        if fails { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let scrubbed = scrub_at(&shelf, at(10), None);
    failpoint::set(|_| Ok(()));
    assert_eq!(scrubbed.unwrap().rotten, []);
    assert_eq!(shelf.store().quarantined().unwrap(), []);
}

#[test]
fn beside_an_import_rot_is_told_and_left_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let layer = Image::of("one").digests()[0].clone();
    rot(&shelf, &layer);
    let import = shelf.store().lock().unwrap();
    let scrubbed = scrub(&shelf);
    assert!(!scrubbed.rotten[0].quarantined);
    assert!(shelf.store().has_blob(&layer).unwrap());
    drop(import);
    assert!(scrub(&shelf).rotten[0].quarantined);
}

#[test]
fn the_blob_comes_first_that_was_looked_at_longest_ago() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    assert_eq!(scrub_at(&shelf, at(10), None).unwrap().verified.blobs, 7);
    shelf.publish("base", 2, &["one", "three"]).unwrap();
    let later = at(10) + SignedDuration::from_hours(1);
    let fresh = scrub_at(&shelf, later, Some(at(10))).unwrap();
    assert_eq!(fresh.verified.blobs, 4, "what came since, and nothing else");
    assert_eq!(scrub_at(&shelf, later, Some(later)).unwrap().verified.blobs, 7);

    // One that stops after its first piece has looked at the oldest.
    let store = shelf.store();
    let clock = || later;
    let pace = &mut |_| ControlFlow::Break(());
    let stopped = Scrub { store: &store, guard: None, clock: &clock, before: None, pace }.run().unwrap();
    assert_eq!((stopped.verified.blobs, stopped.left.blobs), (0, 11));
}

#[test]
fn a_status_says_how_the_store_is() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(folder.path());
    let status = |shelf: &Shelf| shelf.store().status(&shelf.plan(None, 0), at(20)).unwrap();
    let fresh = status(&shelf);
    assert_eq!((fresh.blobs.blobs, fresh.never_verified.blobs, fresh.last_scrub), (7, 7, None));
    assert!(fresh.free > 0 && fresh.free <= fresh.capacity);
    scrub(&shelf);
    let scrubbed = status(&shelf);
    assert_eq!((scrubbed.never_verified.blobs, scrubbed.last_scrub), (0, Some(at(10))));
    assert_eq!(scrubbed.oldest_verified, Some(at(10)));
    let layer = Image::of("two").digests()[0].clone();
    rot(&shelf, &layer);
    scrub(&shelf);
    let damaged = status(&shelf);
    assert_eq!((&damaged.quarantined, &damaged.missing), (&vec![layer.clone()], &vec![layer]));
}
