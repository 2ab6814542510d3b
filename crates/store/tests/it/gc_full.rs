//! On a disk that is really full garbage goes, in the room that is kept for that.

use std::path::Path;

use sealock_store::StoreError;
use sealock_store::operations::Operation;
use sealock_trust::Digest;

use crate::shelf::{Shelf, TERMS};
use crate::site::{at, files, fill_up};

const SMALL_DISK: &str = "SEALOCK_TEST_SMALL_DISK";

/// Two runs: the first condemns, the second deletes.
fn runs() -> [u64; 2] {
    [0, TERMS.grace]
}

fn names(shelf: &Shelf) -> Vec<String> {
    let blobs = files(&shelf.site.store.join("blobs"));
    blobs.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn check(shelf: &Shelf) {
    let plan = shelf.plan(None, 0);
    assert_eq!((plan.doubts, plan.missing), (vec![], vec![]));
    shelf.store().operations().unwrap();
}

#[test]
fn on_a_full_disk_garbage_goes() {
    sealock_testkit::small_disk::run("gc_full::collect_on_a_full_disk", "2m", SMALL_DISK);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn collect_on_a_full_disk() {
    let folder = std::env::var(SMALL_DISK).unwrap();
    let folder = Path::new(&folder);
    let shelf = Shelf::of_four(folder);
    let before = names(&shelf);
    let reserve = shelf.site.store.join("reserve");
    assert!(std::fs::metadata(&reserve).unwrap().len() > 0);

    // The proof that room is needed at all: without any, nothing happens.
    let kept = std::fs::read(&reserve).unwrap();
    fill_last_page_of_log(&shelf);
    std::fs::remove_file(&reserve).unwrap();
    fill_up(&folder.join("filler"));
    assert!(matches!(shelf.collect(Some(1), 0), Err(StoreError::DiskFull { .. })));
    assert_eq!(names(&shelf), before);
    std::fs::remove_file(folder.join("filler")).unwrap();
    std::fs::write(&reserve, kept).unwrap();

    for (round, seconds) in runs().into_iter().enumerate() {
        fill_last_page_of_log(&shelf);
        fill_up(&folder.join(format!("filler {round}")));
        shelf.collect(Some(1), seconds).unwrap();
    }
    assert!(!shelf.has("only in 1") && shelf.has("only in 3"));
    check(&shelf);
}

/// So that the next record, which settles what an import has left behind that a full disk cut off, needs a page that the file
/// does not have yet.
fn fill_last_page_of_log(shelf: &Shelf) {
    let log = shelf.site.store.join("operations.log");
    let lock = shelf.store().lock().unwrap();
    loop {
        let publish = Operation::Publish { release: 5, digest: Digest::sha256(b"release 5") };
        lock.log(at(9), publish).unwrap();
        if std::fs::metadata(&log).unwrap().len() % 4096 > 4096 - 150 {
            return;
        }
    }
}
