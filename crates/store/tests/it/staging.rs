//! Staging: only whole, right blobs are kept.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use sealock_store::{Staging, Store, StoreError, StoreLock};
use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest};

struct Room {
    _folder: tempfile::TempDir,
    lock: StoreLock,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lock = Store::init(&folder.path().join("store")).unwrap().lock().unwrap();
        Self { _folder: folder, lock }
    }

    fn staging(&self) -> Staging {
        self.lock.staging(&Digest::sha256(b"manifest")).unwrap()
    }

    fn is_empty(&self) -> bool {
        let staging = self.lock.store().path().join("staging");
        crate::site::files(&staging).is_empty()
    }
}

fn write(staging: &mut Staging, digest: &Digest, size: u64, content: &[u8]) -> Result<(), StoreError> {
    let mut writer = staging.write_blob(digest, size)?;
    writer.push(content)?;
    writer.finish()
}

#[test]
fn a_blob_with_another_digest_is_refused_and_gone() {
    let room = Room::new();
    let mut staging = room.staging();
    let error = write(&mut staging, &Digest::sha256(b"promised"), 8, b"delivere").unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest));
    assert!(error.is_refusal());
    assert!(!staging.holds(&Digest::sha256(b"promised"), 8).unwrap());
    assert!(room.is_empty());
}

#[test]
fn a_blob_with_another_size_is_refused_and_gone() {
    let room = Room::new();
    let mut staging = room.staging();
    let digest = Digest::sha256(b"content");
    for (size, content) in [(8, &b"content"[..]), (6, b"content"), (7, b"conten"), (7, b"content!")] {
        let error = write(&mut staging, &digest, size, content).unwrap_err();
        assert_eq!(error.code(), Some(Code::Size), "{size}");
        assert!(room.is_empty());
    }
}

#[test]
fn an_endless_blob_is_stopped_at_its_size() {
    let room = Room::new();
    let mut staging = room.staging();
    let mut writer = staging.write_blob(&Digest::sha256(b"x"), 100).unwrap();
    let error = std::io::copy(&mut std::io::repeat(0), &mut writer).unwrap_err();
    assert!(error.to_string().contains("shall have 100 bytes"), "{error}");
    assert_eq!(writer.written(), 0);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let room = Room::new();
    let mut staging = room.staging();
    let mut writer = staging.write_blob(&Digest::sha256(b"content"), 7).unwrap();
    writer.write_all(b"con").unwrap();
    drop(writer);
    assert!(room.is_empty());
}

#[test]
fn both_digest_algorithms_are_kept_read_only() {
    let room = Room::new();
    let mut staging = room.staging();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"content");
        write(&mut staging, &digest, 7, b"content").unwrap();
        assert!(staging.holds(&digest, 7).unwrap());
        let mode = std::fs::metadata(staging.blob_path(&digest)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
}

#[test]
fn what_an_interrupted_import_left_is_found_again_unless_it_was_torn() {
    let room = Room::new();
    let (whole, torn) = (Digest::sha256(b"whole"), Digest::sha256(b"torn one"));
    let mut staging = room.staging();
    write(&mut staging, &whole, 5, b"whole").unwrap();
    write(&mut staging, &torn, 8, b"torn one").unwrap();
    let torn_path = staging.blob_path(&torn);
    drop(staging);
    std::fs::set_permissions(&torn_path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&torn_path, b"torn\0\0\0\0").unwrap();

    let mut staging = room.staging();
    assert!(staging.holds(&whole, 5).unwrap());
    assert!(!staging.holds(&torn, 8).unwrap());
    assert!(!torn_path.exists());
    write(&mut staging, &torn, 8, b"torn one").unwrap();
    assert!(staging.holds(&torn, 8).unwrap());
}

#[test]
fn a_discarded_staging_is_gone() {
    let room = Room::new();
    let mut staging = room.staging();
    write(&mut staging, &Digest::sha256(b"x"), 1, b"x").unwrap();
    staging.discard().unwrap();
    assert!(room.lock.store().stagings().unwrap().is_empty());
    assert!(!room.lock.store().has_blob(&Digest::sha256(b"x")).unwrap());
}
