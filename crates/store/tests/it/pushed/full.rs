//! A disk that is really full.

use std::path::Path;

use sealock_store::StoreError;
use sealock_store::pushed::{PushError, Pushed};
use sealock_trust::{Algorithm, Digest};

use super::support::*;
use crate::site::fill_up;

const FOLDER: &str = "SEALOCK_TEST_SMALL_DISK";

#[test]
fn on_a_full_disk_deletes_work_uploads_stay_and_a_server_starts() {
    sealock_testkit::small_disk::run("pushed::full::on_a_small_disk", "24m", FOLDER);
}

#[test]
#[ignore = "started by the test above, where a small disk is"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn on_a_small_disk() {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let store = sealock_store::Store::init(&folder.join("store")).unwrap();
    let open = || Pushed::open(&store, &settings(), guard(), moment()).unwrap();
    let pushed = open();
    let layer = blob(&pushed, "a", b"layer").unwrap();
    let image = manifest_of(&[b"layer"], None);
    pushed.put_manifest(put("a", &image, &["1", "2", "3"]), WHO, moment()).unwrap();
    let id = pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap().to_string();
    let mut append = pushed.append("a", WHO, &id, None).unwrap();
    append.write(b"acknowledged, ", moment()).unwrap();
    append.acknowledge(moment()).unwrap();
    drop(append);

    let filler = folder.join("filler");
    fill_up(&filler);
    let full = |result: Result<(), PushError>| {
        assert!(matches!(result, Err(PushError::Store(StoreError::DiskFull { .. }))), "{result:?}");
    };
    let mut append = pushed.append("a", WHO, &id, Some(14)).unwrap();
    full(append.expect(1 << 20));
    full(append.write(&[0; 1 << 20], moment()));
    drop(append);
    full(blob(&pushed, "b", &[1; 100_000]).map(drop));
    pushed.delete_tag(("a", WHO), "3", moment()).unwrap();
    drop(pushed);

    let pushed = open();
    pushed.delete_tag(("a", WHO), "2", moment()).unwrap();
    pushed.delete_manifest(("a", WHO), &Digest::sha256(&image), moment()).unwrap();
    pushed.delete_blob(("a", WHO), &layer, moment()).unwrap();
    assert!(pushed.snapshot().repository("a").is_none());
    check(&store, &pushed.snapshot());
    assert_eq!(pushed.acknowledged("a", WHO, &id).unwrap(), 14);
    drop(pushed);
    start_ten_times(&open, &folder.join("store"));

    std::fs::remove_file(&filler).unwrap();
    let pushed = open();
    let mut append = pushed.append("a", WHO, &id, Some(14)).unwrap();
    append.write(b"and the rest", moment()).unwrap();
    pushed.finish(append, ("a", WHO), &Digest::sha256(b"acknowledged, and the rest"), moment()).unwrap();
    drop(pushed);
    check(&store, &open().snapshot());
}

/// The number of starts gets one digit more, for which no byte is left but in what was set aside.
fn start_ten_times(open: &dyn Fn() -> Pushed, store: &Path) {
    let epoch = store.join("pushed/epoch");
    loop {
        let before = std::fs::read_to_string(&epoch).unwrap();
        let number = open().epoch();
        let after = std::fs::read_to_string(&epoch).unwrap();
        assert!(after.contains(&format!(r#""epoch":{number},"#)), "{before} became {after}");
        if number == 11 {
            return;
        }
    }
}
