//! The check finds what is wrong, wherever it is, and changes nothing.

use std::ops::ControlFlow;
use std::path::PathBuf;

use sealock_store::check::Checked;

use crate::shelf::{Image, Shelf};
use crate::site::files;

fn check(shelf: &Shelf, deep: bool) -> Checked {
    let plan = shelf.plan(None, 0);
    let mut pace = |_| ControlFlow::Continue(());
    let deep = deep.then_some(&mut pace as &mut dyn FnMut(u64) -> ControlFlow<()>);
    shelf.store().check(&shelf.site.keys(), &plan, deep).unwrap()
}

fn shelf() -> (tempfile::TempDir, Shelf) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path());
    for sequence in 1..=3 {
        shelf.publish("base", sequence, &["shared", &format!("only in {sequence}")]).unwrap();
    }
    (folder, shelf)
}

#[test]
fn a_store_that_is_whole_has_no_findings() {
    let (_folder, shelf) = shelf();
    let checked = check(&shelf, false);
    assert!(checked.is_whole(), "{checked:?}");
    assert_eq!((checked.releases, checked.records, checked.blobs.blobs, checked.hashed.blobs), (3, 6, 15, 0));
    assert_eq!(check(&shelf, true).hashed, checked.blobs);
}

#[test]
fn a_flipped_bit_anywhere_in_blobs_releases_or_log_is_found() {
    let (_folder, shelf) = shelf();
    let store = shelf.site.store.clone();
    shelf.plan(None, 0);
    let of = |folder: &str| files(&store.join(folder));
    let targets: Vec<PathBuf> =
        of("blobs").into_iter().chain(of("releases")).chain([store.join("operations.log")]).collect();
    for path in targets {
        let original = std::fs::read(&path).unwrap();
        for at in [0, original.len() / 2, original.len() - 1] {
            shelf.damage(&path, |bytes| bytes[at] ^= 1);
            let before = files(&store);
            let found = check(&shelf, true);
            assert_eq!(files(&store), before, "it changes nothing");
            assert!(!found.is_whole(), "{} at {at}", path.display());
            shelf.damage(&path, |bytes| bytes.clone_from(&original));
        }
    }
    assert!(check(&shelf, true).is_whole());
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let (_folder, shelf) = shelf();
    let layer = Image::of("only in 2").digests()[0].clone();
    std::fs::remove_file(shelf.store().blob_path(&layer)).unwrap();
    let checked = check(&shelf, false);
    assert_eq!(checked.findings, [format!("{layer} is not in the store, needed by release 2")]);
}

#[test]
fn a_release_of_another_history_is_found() {
    let (_folder, shelf) = shelf();
    // A release 2 that the site has signed as well, and that nobody has announced.
    let (_other_folder, other) = {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(shelf.site.store.with_file_name("site.pem"), folder.path().join("site.pem")).unwrap();
        let other = Shelf::new(folder.path());
        other.publish("base", 7, &["shared"]).unwrap();
        other.publish("base", 8, &["shared"]).unwrap();
        (folder, other)
    };
    std::fs::remove_file(shelf.site.store.join("releases/2.json")).unwrap();
    std::fs::copy(other.site.store.join("releases/2.json"), shelf.site.store.join("releases/2.json")).unwrap();
    let findings = check(&shelf, false).findings;
    let has = |text: &str| findings.iter().any(|finding| finding.contains(text));
    assert!(
        has("release 2 does not follow") && has("release 3 does not follow") && has("and the log says"),
        "{findings:?}"
    );
}

#[test]
fn what_does_not_belong_there_is_found() {
    let (_folder, shelf) = shelf();
    let blobs = shelf.site.store.join("blobs/sha256");
    std::fs::write(blobs.join("readme"), "hello").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", blobs.join("0".repeat(64))).unwrap();
    assert_eq!(check(&shelf, true).findings.len(), 2);
}
