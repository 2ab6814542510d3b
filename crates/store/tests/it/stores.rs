//! Making, opening and locking stores.

use std::os::unix::fs::PermissionsExt;

use sealock_store::{Store, StoreError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::site::{Bundle, Site};

const FOLDER: &str = "SEALOCK_TEST_UMASK_FOLDER";

#[test]
fn a_new_store_is_empty_and_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/store");
    Store::init(&path).unwrap();
    let store = Store::init(&path).unwrap();
    assert_eq!(store.current_number().unwrap(), None);
    assert!(store.operations().unwrap().is_empty());
    assert!(store.free_bytes().unwrap() > 0);
    assert!(store.open_blob(&Digest::sha256(b"x")).unwrap().is_none());
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let error = Store::init(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { .. }), "{error:?}");
    assert!(!folder.path().join("blobs").exists());
    assert!(matches!(Store::open(folder.path()), Err(StoreError::NotAStore { .. })));
    assert!(matches!(Store::open(&folder.path().join("none")), Err(StoreError::NotAStore { .. })));
}

#[test]
fn a_store_of_a_newer_sealock_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::init(folder.path()).unwrap();
    let write = |format: &str| {
        std::fs::remove_file(folder.path().join("format")).unwrap();
        std::fs::write(folder.path().join("format"), format).unwrap();
    };
    write("store/1.7\n");
    Store::open(folder.path()).unwrap();
    for format in ["store/2.0\n", "store/10.0\n", "", "store"] {
        write(format);
        let error = Store::open(folder.path()).unwrap_err();
        assert_eq!(error.code(), Some(Code::Format), "{format}");
    }
}

#[test]
fn one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::init(folder.path()).unwrap();
    let lock = store.lock().unwrap();
    let error = store.lock().unwrap_err();
    let holder = std::process::id();
    assert!(matches!(error, StoreError::Locked { holder: Some(pid), .. } if pid == holder), "{error:?}");
    assert!(error.to_string().ends_with(&format!("(pid {holder})")));
    assert!(error.is_environment());
    drop(lock);
    store.lock().unwrap();
}

#[test]
fn only_regular_files_are_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::init(folder.path()).unwrap();
    let digest = Digest::sha256(b"x");
    std::os::unix::fs::symlink("/etc/passwd", store.blob_path(&digest)).unwrap();
    assert!(matches!(store.open_blob(&digest), Err(StoreError::Foreign { .. })));
    assert!(matches!(store.has_blob(&digest), Err(StoreError::Foreign { .. })));
    std::fs::remove_file(store.blob_path(&digest)).unwrap();
    std::fs::create_dir(store.blob_path(&digest)).unwrap();
    assert!(matches!(store.open_blob(&digest), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_strict_umask_of_the_importer_does_not_lock_the_server_out() {
    let folder = tempfile::tempdir().unwrap();
    let binary = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" --exact stores::imports_into_the_folder --ignored --nocapture"])
        .arg(binary)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = folder.path().join("store");
    let mode = |path: &str| std::fs::metadata(store.join(path)).unwrap().permissions().mode() & 0o777;
    let blob = format!("blobs/sha256/{}", Digest::sha256(b"shared").hex());
    let modes = ["", "blobs", "blobs/sha256", &blob, "releases", "releases/1.json", "format", "staging"].map(mode);
    assert_eq!(modes, [0o755, 0o755, 0o755, 0o444, 0o755, 0o444, 0o444, 0o700]);
}

#[test]
#[ignore = "started by the test above, under another umask"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn imports_into_the_folder() {
    let site = Site::new(std::path::Path::new(&std::env::var(FOLDER).unwrap()));
    site.import(Bundle { stream: "base", sequence: 1 }).unwrap();
}
