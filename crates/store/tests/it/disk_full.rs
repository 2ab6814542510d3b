//! A disk that is really full.

use std::path::Path;

use sealock_store::StoreError;
use sealock_trust::Digest;

use crate::site::{Bundle, Site, fill_up};

const FOLDER: &str = "SEALOCK_TEST_SMALL_DISK";

#[test]
fn a_full_disk_changes_nothing_and_room_made_later_is_enough() {
    sealock_testkit::small_disk::run("disk_full::on_a_small_disk", "2m", FOLDER);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn on_a_small_disk() {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let site = Site::new(folder);
    site.import(Bundle { stream: "base", sequence: 1 }).unwrap();

    a_blob_that_does_not_fit_is_known_before_its_first_byte(&site);
    an_import_onto_a_full_disk_leaves_the_release(&site, folder);
}

fn a_blob_that_does_not_fit_is_known_before_its_first_byte(site: &Site) {
    let lock = site.open().lock().unwrap();
    let digest = Digest::sha256(b"large");
    let mut staging = lock.staging(&digest).unwrap();
    let error = staging.write_blob(&digest, 64 << 20).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    staging.discard().unwrap();
}

fn an_import_onto_a_full_disk_leaves_the_release(site: &Site, folder: &Path) {
    let second = Bundle { stream: "base", sequence: 2 };
    let filler = folder.join("filler");
    fill_up(&filler);
    let error = site.import(second).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    site.check();
    assert_eq!(site.current().unwrap().release.number, 1);

    std::fs::remove_file(&filler).unwrap();
    assert_eq!(site.import(second).unwrap().release.number, 2);
    site.check_clean();
}
