//! What a start makes of damage, of another writer, and of another version.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sealock_store::StoreError;
use sealock_store::pushed::PushError;
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use super::support::*;

/// A store with a few records, closed again.
fn filled() -> (World, std::collections::BTreeMap<String, String>) {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    blob(&pushed, "b", b"other").unwrap();
    pushed.put_manifest(put("a", &manifest_of(&[b"layer"], None), &["1", "2"]), WHO, moment()).unwrap();
    pushed.delete_tag(("a", WHO), "2", moment()).unwrap();
    let listing = listing(&pushed.snapshot());
    (world, listing)
}

fn segment(world: &World) -> PathBuf {
    world.path().join("pushed/log/00000000000000000001.log")
}

fn index(world: &World) -> PathBuf {
    world.path().join("pushed/index.redb")
}

#[test]
fn a_restart_finds_everything_again() {
    let (world, before) = filled();
    for epoch in 2..5 {
        let pushed = world.open();
        assert_eq!(pushed.epoch(), epoch);
        assert_eq!(listing(&pushed.snapshot()), before);
        check(&world.store(), &pushed.snapshot());
    }
}

#[test]
fn an_index_that_is_absent_empty_or_damaged_is_made_anew() {
    let (world, before) = filled();
    let whole = fs::read(index(&world)).unwrap();
    let damages: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("absent", None),
        ("empty", Some(Vec::new())),
        ("nonsense", Some(b"nonsense".repeat(10_000))),
        ("cut", Some(whole[..whole.len() / 2].to_vec())),
        ("flipped", Some(whole.iter().map(|byte| byte ^ 0x55).collect())),
    ];
    for (name, bytes) in damages {
        fs::remove_file(index(&world)).unwrap();
        if let Some(bytes) = bytes {
            fs::write(index(&world), bytes).unwrap();
        }
        assert_eq!(listing(&world.open().snapshot()), before, "{name}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_index_changes_nothing() {
    let (world, before) = filled();
    let whole = fs::read(index(&world)).unwrap();
    // Where there is something at all.
    let places: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).step_by(97).take(60).collect();
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(index(&world), bytes).unwrap();
        assert_eq!(listing(&world.open().snapshot()), before, "byte {at}");
    }
}

#[test]
fn an_index_from_the_past_is_brought_up_and_one_from_the_future_is_made_anew() {
    let (world, _) = filled();
    let (old_index, old_log) = (fs::read(index(&world)).unwrap(), fs::read(segment(&world)).unwrap());
    let pushed = world.open();
    blob(&pushed, "c", b"newer").unwrap();
    let after = listing(&pushed.snapshot());
    drop(pushed);
    let new_index = fs::read(index(&world)).unwrap();
    fs::write(index(&world), old_index).unwrap();
    assert_eq!(listing(&world.open().snapshot()), after);

    // As if somebody had put an older log back.
    fs::write(index(&world), new_index).unwrap();
    fs::write(segment(&world), old_log).unwrap();
    let pushed = world.open();
    assert!(pushed.snapshot().repository("c").is_none());
    check(&world.store(), &pushed.snapshot());
}

#[test]
fn a_torn_last_line_is_dropped_and_the_log_goes_on() {
    let (world, before) = filled();
    let whole = fs::read(segment(&world)).unwrap();
    for torn in [1, 10, 200] {
        let line = b"{\"at\":\"2026-09-21T14:13:20Z\",\"digest\":\"sha256:".repeat(10);
        fs::write(segment(&world), [whole.as_slice(), &line[..torn]].concat()).unwrap();
        assert_eq!(world.store().pushed_records(|_| {}).unwrap(), 5);
        let pushed = world.open();
        assert_eq!(listing(&pushed.snapshot()), before);
        drop(pushed);
        assert_eq!(world.store().pushed_records(|_| {}).unwrap(), 6);
        fs::write(segment(&world), &whole).unwrap();
        fs::remove_file(index(&world)).unwrap();
    }
}

#[test]
fn any_other_damage_to_the_log_is_refused_with_its_line() {
    let (world, _) = filled();
    fs::remove_file(index(&world)).unwrap();
    let text = fs::read_to_string(segment(&world)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |gone: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line).collect();
        kept.join("\n") + "\n"
    };
    let swapped = [lines[0], lines[2], lines[1], lines[3], lines[4]].join("\n") + "\n";
    for (bytes, line) in [
        (text.replace("\"size\":5", "\"size\":6"), 3),
        (without(1), 2),
        (without(0), 1),
        (swapped, 2),
        (text.replacen("robot", "\u{1}", 1), 2),
        (format!("{text}nonsense\n"), 6),
        (format!("{text}{}", "x".repeat(70_000)), 6),
    ] {
        fs::write(segment(&world), bytes).unwrap();
        let error = world.try_open().unwrap_err();
        let PushError::Store(StoreError::DamagedLog { line: found, .. }) = error else { panic!("{error:?}") };
        assert_eq!(found, line);
    }
}

#[test]
fn a_second_writer_is_refused() {
    let (world, _) = filled();
    let first = world.open();
    let error = world.try_open().unwrap_err();
    let PushError::Store(StoreError::Locked { holder, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(error.is_environment() && !error.is_refusal());
    drop(first);
    world.open();
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let (world, _) = filled();
    fs::write(world.path().join("pushed/epoch"), br#"{"epoch":7,"format":"pushed-log/2.0","new":1}"#).unwrap();
    let before = fs::read(segment(&world)).unwrap();
    let error = world.try_open().unwrap_err();
    assert_eq!(error.code(), Some(Code::Format));
    assert_eq!(fs::read(segment(&world)).unwrap(), before);
}

#[test]
fn a_manifest_that_is_gone_from_the_store_is_left_out_and_can_come_again() {
    let (world, before) = filled();
    let bytes = manifest_of(&[b"layer"], None);
    let digest = Digest::sha256(&bytes);
    fs::remove_file(world.store().blob_path(&digest)).unwrap();
    let pushed = world.open();
    assert!(pushed.snapshot().repository("a").unwrap().manifest(&digest).is_none());
    pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    assert_eq!((listing(&pushed.snapshot()).len(), pushed.snapshot().lost().count()), (before.len(), 0));
    check(&world.store(), &pushed.snapshot());
}

/// A file of the right name and size is not enough: what is pushed again is there after the next start.
#[test]
fn a_manifest_that_has_rotted_is_replaced_when_it_is_pushed_again() {
    let (world, _) = filled();
    let bytes = manifest_of(&[b"layer"], None);
    let path = world.store().blob_path(&Digest::sha256(&bytes));
    let mut rotten = bytes.clone();
    rotten[7] ^= 1;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, rotten).unwrap();
    let pushed = world.open();
    assert_eq!(pushed.snapshot().lost().count(), 1);
    pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    drop(pushed);
    let pushed = world.open();
    assert_eq!((pushed.snapshot().lost().count(), fs::read(&path).unwrap()), (0, bytes));
    check(&world.store(), &pushed.snapshot());
}

/// Nobody knows what hangs on it, so nothing goes that might.
#[test]
fn what_a_lost_manifest_refers_to_is_kept_until_it_is_deleted() {
    let (world, _) = filled();
    let digest = Digest::sha256(&manifest_of(&[b"layer"], None));
    let (layer, other) = (Digest::sha256(b"layer"), Digest::sha256(b"other"));
    fs::remove_file(world.store().blob_path(&digest)).unwrap();
    let pushed = world.open();
    let lost: Vec<_> = pushed.snapshot().lost().map(|(name, digest, _)| (name.to_owned(), digest.clone())).collect();
    assert_eq!(lost, [("a".to_owned(), digest.clone())]);
    let holds =
        |name: &str, blob: &Digest| pushed.snapshot().repository(name).is_some_and(|it| it.blob(blob).is_some());
    assert_eq!(pushed.let_go(later(48)).unwrap(), 1, "of the repository `b`, where nothing was lost");
    assert!(holds("a", &layer) && !holds("b", &other));

    pushed.delete_manifest(("a", WHO), &digest, later(48)).unwrap();
    assert_eq!(pushed.snapshot().lost().count(), 0);
    assert!(pushed.snapshot().repository("a").unwrap().tag("1").is_none());
    assert_eq!(pushed.let_go(later(48)).unwrap(), 1);
    assert!(!holds("a", &layer));
}

#[test]
fn a_foreign_file_in_the_log_is_refused() {
    let (world, _) = filled();
    fs::write(world.path().join("pushed/log/1.log"), b"").unwrap();
    fs::remove_file(index(&world)).unwrap();
    assert!(matches!(world.try_open(), Err(PushError::Store(StoreError::Foreign { .. }))));
}
