//! The index is made anew where it is not what the log leads to, and only there.

use std::fs;

use redb::{Database, TableDefinition};
use sealock_store::StoreError;
use sealock_store::pushed::{IndexCondition, PushError, Rebuilt};
use sealock_trust::Digest;

use super::support::*;

/// A store that was written to and closed.
fn filled() -> World {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    blob(&pushed, "b", b"other").unwrap();
    pushed.put_manifest(put("a", &image(), &["1", "2"]), WHO, moment()).unwrap();
    pushed.delete_tag(("a", WHO), "2", moment()).unwrap();
    world
}

fn image() -> Vec<u8> {
    manifest_of(&[b"layer"], None)
}

fn rebuild(world: &World, only_looks: bool) -> Rebuilt {
    world.store().rebuild_pushed_index(only_looks).unwrap().unwrap()
}

#[test]
fn a_sound_index_is_left_as_it_is() {
    let world = filled();
    let before = fs::read(world.path().join("pushed/index.redb")).unwrap();
    let rebuilt = rebuild(&world, false);
    assert_eq!((rebuilt.was, rebuilt.changed), (IndexCondition::Sound, false));
    let counts = (rebuilt.records, rebuilt.repositories, rebuilt.blobs, rebuilt.manifests, rebuilt.tags);
    assert_eq!((counts, rebuilt.missing), ((5, 2, 2, 1, 1), vec![]));
    assert_eq!(fs::read(world.path().join("pushed/index.redb")).unwrap(), before);
}

#[test]
fn where_nothing_was_pushed_there_is_none() {
    assert_eq!(World::new().store().rebuild_pushed_index(false).unwrap(), None);
}

#[test]
fn whatever_is_wrong_with_it_is_told_first_and_then_made_good() {
    let world = filled();
    let path = world.path().join("pushed/index.redb");
    let sound = fs::read(&path).unwrap();
    let flipped = |step: usize| sound.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % step == 9)).collect();
    blob(&world.open(), "c", b"newer").unwrap();
    let cases: [(&str, Option<Vec<u8>>, IndexCondition); 6] = [
        ("absent", None, IndexCondition::Absent),
        ("empty", Some(Vec::new()), IndexCondition::Absent),
        ("nonsense", Some(b"nonsense".repeat(10_000)), IndexCondition::Damaged),
        ("cut", Some(sound[..sound.len() / 2].to_vec()), IndexCondition::Damaged),
        ("flipped", Some(flipped(700)), IndexCondition::Damaged),
        ("old", Some(sound.clone()), IndexCondition::Behind),
    ];
    for (name, bytes, condition) in cases {
        fs::remove_file(&path).unwrap();
        if let Some(bytes) = &bytes {
            fs::write(&path, bytes).unwrap();
        }
        let looked = rebuild(&world, true);
        assert_eq!((looked.was, looked.changed), (condition, false), "{name}");
        assert_eq!(fs::read(&path).ok(), bytes, "{name}: it was only looked at");
        let rebuilt = rebuild(&world, false);
        assert_eq!((rebuilt.was, rebuilt.changed, rebuilt.blobs), (condition, true, 3), "{name}");
        assert_eq!(rebuild(&world, false).was, IndexCondition::Sound, "{name}");
    }
    let pushed = world.open();
    check(&world.store(), &pushed.snapshot());
}

#[test]
fn an_index_of_another_version_is_foreign() {
    let world = filled();
    let path = world.path().join("pushed/index.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("format", b"99".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let rebuilt = rebuild(&world, false);
    assert_eq!((rebuilt.was, rebuilt.changed), (IndexCondition::Foreign, true));
    assert_eq!(rebuild(&world, true).was, IndexCondition::Sound);
}

#[test]
fn an_index_that_says_something_else_than_the_log_is_damaged() {
    let world = filled();
    let path = world.path().join("pushed/index.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let rows: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
    let key = format!("a\0b{}", Digest::sha256(b"layer"));
    assert!(transaction.open_table(rows).unwrap().remove(key.as_bytes()).unwrap().is_some());
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(rebuild(&world, false).was, IndexCondition::Damaged);
    check(&world.store(), &world.open().snapshot());
}

#[test]
fn beside_a_server_it_is_refused() {
    let world = filled();
    let pushed = world.open();
    for only_looks in [true, false] {
        let error = world.store().rebuild_pushed_index(only_looks).unwrap_err();
        assert!(matches!(error, PushError::Store(StoreError::Locked { .. })) && error.is_environment(), "{error:?}");
    }
    drop(pushed);
    rebuild(&world, false);
}

#[test]
fn a_damaged_log_is_not_made_good() {
    let world = filled();
    let log = world.path().join("pushed/log/00000000000000000001.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"size\":5", "\"size\":6")).unwrap();
    let error = world.store().rebuild_pushed_index(false).unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::DamagedLog { .. })), "{error:?}");
}

#[test]
fn a_manifest_that_the_store_lacks_is_told() {
    let world = filled();
    let digest = Digest::sha256(&image());
    fs::remove_file(world.store().blob_path(&digest)).unwrap();
    assert_eq!(rebuild(&world, false).missing, [digest]);
}
