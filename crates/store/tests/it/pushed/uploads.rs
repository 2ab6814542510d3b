//! Uploads: one writer at a time, at the acknowledged offset, across restarts.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use jiff::SignedDuration;
use rustix::fs::{FallocateFlags, fallocate};
use sealock_store::StoreError;
use sealock_store::pushed::{Moment, PushError, Pushed, Settings};
use sealock_trust::{Algorithm, Digest};

use super::support::*;

#[test]
fn an_upload_goes_on_after_a_restart_without_being_read_again() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let world = World::new();
        let pushed = world.open();
        let id = pushed.begin("a", WHO, algorithm, moment()).unwrap().to_string();
        let mut append = pushed.append("a", WHO, &id, Some(0)).unwrap();
        append.write(b"acknowledged, ", moment()).unwrap();
        assert_eq!(append.acknowledge(moment()).unwrap(), 14);
        append.write(b"lost", moment()).unwrap();
        drop(append);
        drop(pushed);

        let pushed = world.open();
        assert_eq!(pushed.acknowledged("a", WHO, &id).unwrap(), 14);
        let mut append = pushed.append("a", WHO, &id, Some(14)).unwrap();
        append.write(b"and more", moment()).unwrap();
        let digest = Digest::of(algorithm, b"acknowledged, and more");
        pushed.finish(append, ("a", WHO), &digest, moment()).unwrap();
        assert_eq!(std::fs::read(world.store().blob_path(&digest)).unwrap(), b"acknowledged, and more");
        let mode = std::fs::metadata(world.store().blob_path(&digest)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
}

#[test]
fn a_digest_of_another_algorithm_than_was_said_is_right_too() {
    let world = World::new();
    let pushed = world.open();
    let mut append = begun(&pushed, "a").unwrap();
    append.write(b"layer", moment()).unwrap();
    let digest = Digest::of(Algorithm::Sha512, b"layer");
    pushed.finish(append, ("a", WHO), &digest, moment()).unwrap();
    check(&world.store(), &pushed.snapshot());
}

/// Large uploads go past the page cache in whole blocks. Chunks begin and end where they like, a request breaks off in the middle of a
/// piece, and a digest of another algorithm has the bytes read again: nothing of that is seen in the blob.
#[test]
fn a_large_upload_is_whole_wherever_its_chunks_end() {
    let world = World::new();
    let pushed = world.open();
    let bytes: Vec<u8> =
        (0_u32..3_400_000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let id = pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap().to_string();
    // Announced and not, and what was acknowledged is on no boundary.
    for (expected, until, is_kept) in
        [(0, 5_000_001, true), (6_000_000, 9_000_000, false), (4_500_000, 9_500_000, true), (0, bytes.len(), true)]
    {
        let from = usize::try_from(pushed.acknowledged("a", WHO, &id).unwrap()).unwrap();
        let mut append = pushed.append("a", WHO, &id, Some(from as u64)).unwrap();
        append.expect(expected).unwrap();
        for piece in bytes[from..until].chunks(131_072 + 77) {
            append.write(piece, moment()).unwrap();
        }
        if is_kept && until < bytes.len() {
            append.acknowledge(moment()).unwrap();
        }
        if until == bytes.len() {
            let digest = Digest::of(Algorithm::Sha512, &bytes);
            pushed.finish(append, ("a", WHO), &digest, moment()).unwrap();
            assert!(std::fs::read(world.store().blob_path(&digest)).unwrap() == bytes);
        }
    }
    check(&world.store(), &pushed.snapshot());
}

#[test]
fn only_one_writes_at_a_time_and_only_at_the_end() {
    let world = World::new();
    let pushed = world.open();
    let mut append = begun(&pushed, "a").unwrap();
    let id = append.id().to_string();
    assert!(matches!(pushed.append("a", WHO, &id, None), Err(PushError::Busy)));
    assert!(matches!(pushed.cancel("a", WHO, &id), Err(PushError::Busy)));
    append.write(b"1234", moment()).unwrap();
    append.acknowledge(moment()).unwrap();
    drop(append);
    for at in [0, 3, 5, u64::MAX] {
        assert!(matches!(pushed.append("a", WHO, &id, Some(at)), Err(PushError::OutOfOrder { offset: 4 })));
    }
    assert_eq!(pushed.append("a", WHO, &id, Some(4)).unwrap().offset(), 4);
}

#[test]
fn an_upload_belongs_to_its_repository_and_its_principal() {
    let world = World::new();
    let pushed = world.open();
    let id = pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap().to_string();
    for (repository, principal, id) in [
        ("b", WHO, id.as_str()),
        ("a", Some("other"), &id),
        ("a", None, &id),
        ("a", WHO, "x"),
        ("a", WHO, "../../lock"),
    ] {
        assert!(matches!(pushed.acknowledged(repository, principal, id), Err(PushError::UnknownUpload { .. })));
    }
    pushed.cancel("a", WHO, &id).unwrap();
    assert!(matches!(pushed.append("a", WHO, &id, None), Err(PushError::UnknownUpload { .. })));
    assert_eq!(files(&world.path().join("uploads")), [] as [&str; 0]);
}

#[test]
fn bounds_hold() {
    let world = World::new();
    let bounded = Settings { uploads: 2, longest_blob: 10, ..settings() };
    let pushed = Pushed::open(&world.store(), &bounded, guard(), moment()).unwrap();
    let mut append = begun(&pushed, "a").unwrap();
    assert!(matches!(append.expect(11), Err(PushError::TooLong { limit: 10 })));
    append.write(b"12345", moment()).unwrap();
    assert!(matches!(append.write(b"123456", moment()), Err(PushError::TooLong { .. })));
    let _second = begun(&pushed, "a").unwrap();
    assert!(matches!(begun(&pushed, "a"), Err(PushError::TooManyUploads { limit: 2 })));
}

#[test]
fn headroom_is_left_and_the_upload_stays() {
    let world = World::new();
    let greedy = Settings { headroom: 1 << 60, ..settings() };
    let pushed = Pushed::open(&world.store(), &greedy, guard(), moment()).unwrap();
    let mut append = begun(&pushed, "a").unwrap();
    let id = append.id().to_string();
    assert!(matches!(append.expect(1), Err(PushError::Store(StoreError::DiskFull { .. }))));
    let error = append.write(b"1", moment()).unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::DiskFull { .. })) && error.is_environment());
    drop(append);
    assert_eq!(pushed.acknowledged("a", WHO, &id).unwrap(), 0);
}

#[test]
fn dead_uploads_are_removed_but_not_one_that_is_written_to() {
    let world = World::new();
    let pushed = world.open();
    let dead = pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap().to_string();
    let _alive = begun(&pushed, "a").unwrap();
    assert_eq!(pushed.expire_uploads(later(23)).unwrap(), 0);
    assert_eq!(pushed.expire_uploads(later(25)).unwrap(), 1);
    assert_eq!(pushed.open_uploads(), 1);
    assert!(pushed.acknowledged("a", WHO, &dead).is_err());
}

#[test]
fn a_clock_that_was_ahead_keeps_no_upload_for_ever() {
    let world = World::new();
    let pushed = world.open();
    pushed.begin("a", WHO, Algorithm::Sha256, later(365 * 24)).unwrap();
    drop(pushed);
    let pushed = world.open();
    assert_eq!(pushed.expire_uploads(later(25)).unwrap(), 1);
}

/// Somebody who leaves uploads behind keeps nobody from pushing.
#[test]
fn where_too_many_are_open_the_one_with_most_loses_the_longest_idle() {
    let world = World::new();
    let few = Settings { uploads: 4, ..settings() };
    let pushed = Pushed::open(&world.store(), &few, guard(), moment()).unwrap();
    let at = |ticks| Moment { ticks, ..moment() };
    let begin = |who, ticks| pushed.begin("a", Some(who), Algorithm::Sha256, at(ticks)).map(|id| id.to_string());
    let neighbour = begin("neighbour", 0).unwrap();
    let greedy: Vec<_> = (1..4).map(|ticks| begin("greedy", ticks).unwrap()).collect();
    assert!(matches!(begin("late", 10), Err(PushError::TooManyUploads { limit: 4 })), "all are young");
    let writing = pushed.append("a", Some("greedy"), &greedy[0], None).unwrap();

    let late = begin("late", 13).unwrap();
    let is_open = |who, id: &String| pushed.acknowledged("a", Some(who), id).is_ok();
    assert_eq!(greedy[1..].iter().map(|id| is_open("greedy", id)).collect::<Vec<_>>(), [false, true]);
    assert!(is_open("neighbour", &neighbour) && is_open("late", &late));
    assert_eq!(pushed.open_uploads(), 4);
    drop(writing);
    assert!(is_open("greedy", &greedy[0]), "somebody wrote to it");
}

/// Somebody who announces much and breaks off, again and again, must not fill the disk.
#[test]
fn what_was_reserved_is_given_back_when_nobody_writes_any_more() {
    let world = World::new();
    let pushed = world.open();
    let mut append = begun(&pushed, "a").unwrap();
    let data = world.path().join("uploads").join(append.id().to_string()).join("data");
    let taken = || std::fs::metadata(&data).unwrap().blocks() * 512;
    append.expect(64 << 20).unwrap();
    append.write(b"acknowledged", moment()).unwrap();
    append.acknowledge(moment()).unwrap();
    assert!(taken() >= 64 << 20, "a filesystem that reserves nothing shows nothing here");
    let acknowledged = std::fs::read(&data).unwrap();
    drop(append);
    assert!(taken() < 1 << 20, "{} bytes", taken());
    drop(pushed);
    // As if the process had been killed while somebody wrote.
    let file = std::fs::OpenOptions::new().write(true).open(&data).unwrap();
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 64 << 20).unwrap();
    assert!(taken() >= 64 << 20);
    let pushed = world.open();
    assert!(taken() < 1 << 20, "{} bytes", taken());
    assert_eq!((std::fs::read(&data).unwrap(), pushed.open_uploads()), (acknowledged, 1));
}

#[test]
fn whoever_sets_the_clock_ends_no_upload_and_keeps_none() {
    let world = World::new();
    let pushed = world.open();
    pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap();
    let ahead = Moment { ticks: moment().ticks, ..later(365 * 24) };
    assert_eq!(pushed.expire_uploads(ahead).unwrap(), 0);
    let behind = Moment { wall: moment().wall - SignedDuration::from_hours(365 * 24), ..later(25) };
    assert_eq!(pushed.expire_uploads(behind).unwrap(), 1);
}

#[test]
fn hours_before_a_restart_count() {
    let world = World::new();
    let pushed = world.open();
    pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap();
    drop(pushed);
    let restart = Moment { ticks: 0, ..later(23) };
    let pushed = Pushed::open(&world.store(), &settings(), guard(), restart).unwrap();
    let after = |hours: u64| Moment { ticks: hours * 3600, ..restart };
    assert_eq!(pushed.expire_uploads(after(0)).unwrap(), 0);
    assert_eq!(pushed.expire_uploads(after(2)).unwrap(), 1);
}

#[test]
fn what_is_no_upload_any_more_is_removed_at_the_start() {
    let world = World::new();
    let pushed = world.open();
    let mut append = begun(&pushed, "a").unwrap();
    append.write(b"1234", moment()).unwrap();
    append.acknowledge(moment()).unwrap();
    let folder = world.path().join("uploads").join(append.id().to_string());
    drop((append, pushed));
    // As a power loss may leave them: bytes without a state, a state without its bytes, a torn state.
    let uploads = world.path().join("uploads");
    for (name, keep) in [("0".repeat(32), "data"), ("1".repeat(32), "state.json")] {
        std::fs::create_dir(uploads.join(&name)).unwrap();
        std::fs::copy(folder.join(keep), uploads.join(&name).join(keep)).unwrap();
    }
    let torn = uploads.join("2".repeat(32));
    std::fs::create_dir(&torn).unwrap();
    std::fs::write(torn.join("data"), b"1234").unwrap();
    std::fs::write(torn.join("state.json"), b"{\"algor").unwrap();
    let short = uploads.join("3".repeat(32));
    std::fs::create_dir(&short).unwrap();
    std::fs::write(short.join("data"), b"123").unwrap();
    std::fs::copy(folder.join("state.json"), short.join("state.json")).unwrap();

    let pushed = world.open();
    assert_eq!(pushed.open_uploads(), 1);
    assert_eq!(files(&uploads).len(), 2);
}
