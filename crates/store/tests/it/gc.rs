//! The garbage collector without a server: what goes, what stays, and when nothing may go.

use sealock_store::failpoint;
use sealock_store::gc::{GarbageState, Serving};
use sealock_store::operations::Operation;
use sealock_store::{Bound, StoreError};
use sealock_trust::Digest;

use crate::shelf::{Image, Shelf, TERMS};
use crate::site::{at, files};

fn shelf() -> (tempfile::TempDir, Shelf) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::of_four(folder.path());
    (folder, shelf)
}

#[test]
fn while_every_release_is_live_nothing_is_garbage() {
    let (_folder, shelf) = shelf();
    let plan = shelf.plan(None, 0);
    assert_eq!((plan.garbage.len(), plan.doubts.len(), plan.missing.len()), (0, 0, 0), "{plan:?}");
    assert_eq!(plan.live.len(), 4);
    // Five images of three blobs, and four manifests of bundles.
    assert_eq!(plan.kept.blobs, 19);
}

#[test]
fn a_plan_says_what_goes_and_why_and_changes_nothing() {
    let (_folder, shelf) = shelf();
    // Taken once, so that its files are there.
    shelf.plan(Some(1), 0);
    let before = files(&shelf.site.store);
    let plan = shelf.plan(Some(1), 0);
    assert_eq!(plan.retire, [2, 1]);
    let live: Vec<_> = plan.live.iter().map(|live| (live.release, live.because.join(", "))).collect();
    let retained = "the site retains 1 releases beside the current one".to_owned();
    assert_eq!(live, [(4, "it is the current one".to_owned()), (3, retained)]);
    let of_first: Vec<_> = plan.garbage.iter().filter(|garbage| garbage.newest_release == Some(1)).collect();
    assert_eq!(of_first.len(), 4, "three blobs, and the manifest of the bundle: {plan:?}");
    assert_eq!(plan.garbage.len(), 8);
    assert_eq!(plan.reclaimable().bytes, plan.garbage.iter().map(|garbage| garbage.size).sum::<u64>());
    assert_eq!(files(&shelf.site.store), before);
}

#[test]
fn garbage_is_condemned_first_and_deleted_after_its_grace() {
    let (_folder, shelf) = shelf();
    let first = shelf.collect(Some(1), 10).unwrap();
    assert_eq!((first.condemned.blobs, first.deleted.blobs), (8, 0));
    assert!(shelf.has("only in 1") && shelf.has("only in 2"));

    let early = shelf.collect(Some(1), 9 + TERMS.grace).unwrap();
    assert_eq!((early.condemned.blobs, early.deleted.blobs), (8, 0));

    let plan = shelf.plan(Some(1), 10 + TERMS.grace);
    assert!(plan.garbage.iter().all(|garbage| garbage.state == GarbageState::Due), "{plan:?}");
    let late = shelf.collect(Some(1), 10 + TERMS.grace).unwrap();
    assert_eq!((late.condemned.blobs, late.deleted.blobs), (0, 8));
    assert_eq!(late.deleted, plan.reclaimable());
    assert!(!shelf.has("only in 1") && !shelf.has("only in 2"));
    assert!(shelf.has("only in 3") && shelf.has("only in 4") && shelf.has("shared"));
    assert_eq!(shelf.plan(Some(1), 99_999).garbage, []);
}

#[test]
fn what_was_deleted_stands_in_the_log() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(2), 0).unwrap();
    let outcome = shelf.collect(Some(2), TERMS.grace).unwrap();
    let log: Vec<_> = shelf.store().operations().unwrap().into_iter().skip(8).map(|record| record.operation).collect();
    let blobs = outcome.plan.garbage.iter().map(|garbage| garbage.digest.clone()).collect();
    let bytes = outcome.deleted.bytes;
    assert_eq!(
        log,
        [Operation::Retire { release: 1 }, Operation::Collect { blobs }, Operation::Collected { blobs: 4, bytes }]
    );
}

#[test]
fn a_release_stays_that_is_pinned_or_that_something_was_made_from() {
    let (_folder, shelf) = shelf();
    shelf.store().lock().unwrap().pin(1, true, at(5)).unwrap();
    let bound = Bound::from([(2, ["the cluster plant-7".to_owned()].into())]);
    for seconds in [0, 2 * TERMS.grace] {
        let outcome = shelf.collect_bound(Some(0), &bound, seconds).unwrap();
        let live: Vec<_> = outcome.plan.live.iter().map(|live| (live.release, live.because.join(", "))).collect();
        let of = |number, why: &str| (number, why.to_owned());
        assert_eq!(
            live,
            [of(4, "it is the current one"), of(2, "the cluster plant-7 was made from it"), of(1, "it is pinned")]
        );
    }
    assert!(shelf.has("only in 1") && shelf.has("only in 2") && !shelf.has("only in 3"));
    let live: Vec<_> =
        shelf.store().live_releases(&shelf.site.keys()).unwrap().iter().map(|one| one.release.number).collect();
    assert_eq!(live, [4, 2, 1]);
}

#[test]
fn what_an_unfinished_import_holds_stays_and_what_it_left_behind_goes() {
    let (_folder, shelf) = shelf();
    let blob = |content: &[u8]| {
        let digest = Digest::sha256(content);
        std::fs::write(shelf.store().blob_path(&digest), content).unwrap();
        digest
    };
    let (held, left) = (blob(b"held"), blob(b"left behind"));
    shelf.store().lock().unwrap().hold(&Digest::sha256(b"a bundle"), std::slice::from_ref(&held)).unwrap();
    let plan = shelf.plan(None, 0);
    let garbage: Vec<_> = plan.garbage.iter().map(|garbage| (&garbage.digest, garbage.oldest_release)).collect();
    assert_eq!(garbage, [(&left, None)]);
    shelf.collect(None, 0).unwrap();
    shelf.collect(None, TERMS.grace).unwrap();
    assert!(shelf.store().has_blob(&held).unwrap() && !shelf.store().has_blob(&left).unwrap());
}

#[test]
fn what_is_needed_again_is_pardoned() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(0), 0).unwrap();
    shelf.publish("base", 5, &["shared", "only in 1"]).unwrap();
    shelf.collect(Some(0), TERMS.grace).unwrap();
    assert!(shelf.has("only in 1") && !shelf.has("only in 2"));
}

/// Whatever hides what is needed: nothing may go until it is found out.
#[test]
fn where_it_is_in_doubt_what_is_garbage_nothing_goes() {
    let manifest = |shelf: &Shelf| shelf.store().blob_path(&Image::of("shared").digests()[2]);
    let bundle = |shelf: &Shelf| {
        let listing = Shelf::bundle_manifest(4, &["shared", "only in 4"]);
        shelf.store().blob_path(&Digest::sha256(&listing))
    };
    let release = |shelf: &Shelf| shelf.site.store.join("releases/4.json");
    let flip = |bytes: &mut Vec<u8>| bytes[40] ^= 1;
    type Break<'a> = Box<dyn Fn(&Shelf) + 'a>;
    let broken: [(&str, Break<'_>); 7] = [
        ("is damaged", Box::new(|shelf| shelf.damage(&manifest(shelf), flip))),
        ("is not in the store", Box::new(|shelf| std::fs::remove_file(manifest(shelf)).unwrap())),
        ("lists is not known", Box::new(|shelf| std::fs::remove_file(bundle(shelf)).unwrap())),
        ("what release 4 keeps is not known", Box::new(|shelf| shelf.damage(&release(shelf), flip))),
        (
            "release 4 is in the store, and the current one is 2",
            Box::new(|shelf| {
                let current = shelf.site.store.join("current");
                std::fs::remove_file(&current).unwrap();
                std::os::unix::fs::symlink("releases/2.json", current).unwrap();
            }),
        ),
        (
            "what unfinished imports hold is not known",
            Box::new(|shelf| std::fs::write(shelf.site.store.join("holds/x"), "no digest").unwrap()),
        ),
        (
            "which releases are live is not known",
            Box::new(|shelf| shelf.damage(&shelf.site.store.join("operations.log"), flip)),
        ),
    ];
    for (doubt, damage) in broken {
        let (_folder, shelf) = shelf();
        shelf.collect(Some(0), 0).unwrap();
        damage(&shelf);
        let before = files(&shelf.site.store.join("blobs"));
        let outcome = shelf.collect(Some(0), TERMS.grace).unwrap();
        assert!(outcome.plan.doubts.iter().any(|found| found.contains(doubt)), "{doubt}: {:?}", outcome.plan.doubts);
        assert_eq!((outcome.deleted.blobs, outcome.condemned.blobs), (0, 0), "{doubt}");
        assert_eq!(files(&shelf.site.store.join("blobs")), before, "{doubt}");
    }
}

#[test]
fn a_manifest_that_the_disk_does_not_give_stops_the_collector() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(0), 0).unwrap();
    failpoint::set(|step| if step == "read manifest" { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) });
    let outcome = shelf.collect(Some(0), TERMS.grace);
    failpoint::set(|_| Ok(()));
    let outcome = outcome.unwrap();
    assert!(outcome.plan.doubts.iter().any(|doubt| doubt.contains("cannot be read")), "{:?}", outcome.plan.doubts);
    assert_eq!(outcome.deleted.blobs, 0);
}

/// A layer that is lost hides nothing: other garbage goes, and the loss is told.
#[test]
fn a_missing_layer_is_told_and_stops_nothing() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(0), 0).unwrap();
    let layer = Image::of("shared").digests()[0].clone();
    std::fs::remove_file(shelf.store().blob_path(&layer)).unwrap();
    let outcome = shelf.collect(Some(0), TERMS.grace).unwrap();
    assert_eq!(outcome.plan.missing.len(), 1, "{:?}", outcome.plan.missing);
    assert_eq!(outcome.plan.missing[0].digest, layer);
    assert!(outcome.deleted.blobs > 0);
}

#[test]
fn it_runs_neither_beside_an_import_nor_beside_a_server() {
    let (_folder, shelf) = shelf();
    let import = shelf.store().lock().unwrap();
    let error = shelf.collect(Some(0), 0).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }) && error.is_environment(), "{error:?}");
    drop(import);
    let server = Serving::begin(&shelf.store()).unwrap();
    let error = shelf.collect(Some(0), 0).unwrap_err();
    assert!(matches!(error, StoreError::Served { .. }) && error.is_environment(), "{error:?}");
    drop(server);
    shelf.collect(Some(0), 0).unwrap();
}

/// It may have promised something, so the wait begins anew.
#[test]
fn a_server_that_ran_meanwhile_lets_the_condemned_live() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(0), 0).unwrap();
    drop(Serving::begin(&shelf.store()).unwrap());
    let outcome = shelf.collect(Some(0), 10 * TERMS.grace).unwrap();
    assert_eq!(outcome.deleted.blobs, 0);
    assert_eq!(shelf.collect(Some(0), 11 * TERMS.grace).unwrap().deleted.blobs, 12);
}

/// Damage can only make the wait longer.
#[test]
fn a_list_of_the_condemned_that_is_damaged_or_from_before_a_restart_counts_for_nothing() {
    let (_folder, shelf) = shelf();
    shelf.collect(Some(0), 0).unwrap();
    let list = shelf.site.store.join("condemned");
    let text = std::fs::read_to_string(&list).unwrap();
    for other in [text.replace("\"0f\"", "\"1e\""), text.replace('{', "["), text[..text.len() / 2].to_owned()] {
        std::fs::write(&list, other).unwrap();
        assert_eq!(shelf.collect(Some(0), TERMS.grace).unwrap().deleted.blobs, 0);
    }
    std::fs::write(&list, text).unwrap();
    assert_eq!(shelf.collect(Some(0), TERMS.grace).unwrap().deleted.blobs, 12);
}

#[test]
fn the_current_release_cannot_be_retired_and_a_retired_one_cannot_be_pinned() {
    let (_folder, shelf) = shelf();
    let lock = shelf.store().lock().unwrap();
    assert!(matches!(lock.retire(4, at(5)), Err(StoreError::RetiresCurrent { number: 4 })));
    assert!(matches!(lock.retire(5, at(5)), Err(StoreError::NoSuchRelease { number: 5, newest: 4 })));
    lock.retire(2, at(5)).unwrap();
    lock.retire(2, at(6)).unwrap();
    assert!(matches!(lock.pin(2, true, at(7)), Err(StoreError::Retired { number: 2 })));
    assert_eq!(lock.store().operations().unwrap().len(), 9, "twice changes nothing");
}
