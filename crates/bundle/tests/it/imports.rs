//! Importing what is genuine.

use std::fs;

use sealock_bundle::Archive;
use sealock_bundle::import::{ImportOutcome, Progress, Terms, import};
use sealock_bundle::verify;
use sealock_trust::Receipt;
use sealock_trust::directory::DirectoryError;

use crate::support::{Cargo, Publisher, Site, noise, now, sample, time};

#[test]
fn a_bundle_becomes_a_release_that_holds_every_blob_and_name() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let cargo = sample("base", 1);
    let path = cargo.build(folder.path(), &publisher);
    let mut seen = Vec::new();
    let outcome = import(&path, site.station(), &Terms::at(now()), &mut |progress| seen.push(progress)).unwrap();
    let ImportOutcome::Published(imported) = outcome else { panic!("{outcome:?}") };
    assert_eq!((imported.release, imported.sequence, imported.stale), (1, 1, false));
    assert_eq!(imported.written, cargo.lock.content_size());
    assert!(seen.windows(2).all(|pair| pair[0].done < pair[1].done) && seen.len() == cargo.lock.blobs.len());

    for (digest, content) in &cargo.contents {
        assert!(fs::read(site.store.blob_path(digest)).unwrap() == *content);
    }
    let release = site.store.current_release(site.keys.key_set()).unwrap().unwrap().release;
    let names: Vec<&str> = release.references.iter().map(|reference| reference.name.as_str()).collect();
    let locked: Vec<&str> = cargo.lock.references.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(names, locked);
    assert!(site.store.stagings().unwrap().is_empty());

    let accepted = site.trust.accepted(&cargo.lock.stream).unwrap().unwrap();
    let receipt = Receipt::verify(&accepted.receipt, site.keys.key_set()).unwrap();
    assert_eq!((receipt.manifest, receipt.sequence), (imported.manifest.clone(), 1));
    assert_eq!(receipt.held, [imported.manifest]);
}

/// The stream went on while the bundle was read: it is refused as late as that, and leaves no more than any refused one.
#[test]
fn a_bundle_that_was_overtaken_is_refused_and_leaves_nothing() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let [first, second] = [1, 2].map(|sequence| sample("base", sequence).build(folder.path(), &publisher));
    let newer = verify::header(Archive::open(&second).unwrap(), &publisher.against()).unwrap();
    let stream = "base".parse().unwrap();
    let mut overtake = |progress: Progress| {
        if progress.done == progress.total - 1024 {
            let receipt = |_| Ok::<_, DirectoryError>(b"receipt".to_vec());
            site.trust.accept(&stream, (newer.trust(), None), Some(&site.keys), receipt).unwrap();
        }
    };
    let error = import(&first, site.station(), &Terms::at(now()), &mut overtake).unwrap_err();
    assert_eq!(error.code().map(|code| code.to_string()), Some("ROLLBACK".to_owned()), "{error}");
    assert!(site.store.stagings().unwrap().is_empty() && site.store.held_blobs().unwrap().is_empty());
    assert_eq!(site.release(), None);
}

#[test]
fn importing_again_changes_nothing() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let path = sample("base", 1).build(folder.path(), &publisher);
    site.import(&path).unwrap();
    let before = site.snapshot();
    let outcome = site.import(&path).unwrap();
    assert!(matches!(outcome, ImportOutcome::Already(imported) if imported.release == 1));
    assert_eq!(site.snapshot(), before);
}

#[test]
fn the_next_bundle_replaces_its_stream_and_brings_only_what_is_new() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    site.import(&sample("base", 1).build(folder.path(), &publisher)).unwrap();
    let apps = Cargo::of_files("apps/payments", 1, &[("app", noise(7, 100_000))]);
    site.import(&apps.build(folder.path(), &publisher)).unwrap();
    let next = sample("base", 2);
    let outcome = site.import(&next.build(folder.path(), &publisher)).unwrap();
    let ImportOutcome::Published(imported) = outcome else { panic!("{outcome:?}") };
    assert_eq!(imported.release, 3);
    assert!(imported.written < 2_000, "{} bytes were written, though nearly all was there", imported.written);
    let release = site.store.current_release(site.keys.key_set()).unwrap().unwrap().release;
    let selected: Vec<(&str, u64)> = release.streams.iter().map(|s| (s.stream.as_str(), s.sequence)).collect();
    assert_eq!(selected, [("apps/payments", 1), ("base", 2)]);
    let accepted = site.trust.accepted(&next.lock.stream).unwrap().unwrap();
    let receipt = Receipt::verify(&accepted.receipt, site.keys.key_set()).unwrap();
    assert_eq!(receipt.held.len(), 3, "the first bundle is in a release that is still live");
}

#[test]
fn a_receipt_says_nothing_about_another_publisher() {
    let (folder, one, other) = (tempfile::tempdir().unwrap(), Publisher::new(), Publisher::new());
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-7");
    site.enroll(&one, "base");
    site.enroll(&other, "apps");
    site.import(&sample("base", 1).build(folder.path(), &one)).unwrap();
    let apps = Cargo::of_files("apps/payments", 1, &[("app", noise(7, 100_000))]);
    site.import(&apps.build(folder.path(), &other)).unwrap();
    let accepted = site.trust.accepted(&apps.lock.stream).unwrap().unwrap();
    let receipt = Receipt::verify(&accepted.receipt, site.keys.key_set()).unwrap();
    assert_eq!(receipt.held.len(), 1);
}

#[test]
fn age_is_reported_after_the_soft_expiry() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    let path = sample("base", 1).build(folder.path(), &publisher);
    let later = Terms::at(time("2026-12-02T00:00:00Z"));
    let outcome = import(&path, site.station(), &later, &mut |_| {}).unwrap();
    assert!(matches!(outcome, ImportOutcome::Published(imported) if imported.stale));
}

#[test]
fn a_gap_that_a_person_accepts_is_passed() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::new(&publisher);
    site.import(&sample("base", 1).build(folder.path(), &publisher)).unwrap();
    let path = sample("base", 4).build(folder.path(), &publisher);
    assert_eq!(site.refusal(&path), "GAP");
    let terms = Terms { accept_gap: Some(2..=3), ..Terms::at(now()) };
    import(&path, site.station(), &terms, &mut |_| {}).unwrap();
}
