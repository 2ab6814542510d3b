//! Cut off, or failed, at every durable step, pushing loses nothing that was acknowledged and leaves nothing torn; and the same
//! calls finish the work.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sealock_store::failpoint;
use sealock_store::pushed::{PushError, Pushed};
use sealock_store::{Store, StoreError};
use sealock_trust::{Algorithm, Digest};

use super::support::*;
use crate::dying::came_to_its_end;

const FOLDER: &str = "SEALOCK_TEST_FOLDER";
const STEP: &str = "SEALOCK_TEST_STEP";

/// More steps than this would mean that the count never ends.
const MOST_STEPS: usize = 500;

fn image() -> Vec<u8> {
    manifest_of(&[b"layer", b"hello, world"], None)
}

fn signature() -> Vec<u8> {
    let image = image();
    manifest_of(&[b"signature"], Some(descriptor(MANIFEST, &image)))
}

/// Everything that pushing does, as often as it takes. `told` hears of what was acknowledged.
fn push_all(pushed: &Pushed, told: &mut dyn FnMut(&str)) -> Result<(), PushError> {
    blob(pushed, "a", b"layer")?;
    told("layer");
    let id = pushed.begin("a", WHO, Algorithm::Sha256, moment())?.to_string();
    let mut append = pushed.append("a", WHO, &id, Some(0))?;
    append.write(b"hello, ", moment().wall)?;
    append.acknowledge(moment().wall)?;
    drop(append);
    told(&format!("upload {id}"));
    let mut append = pushed.append("a", WHO, &id, Some(7))?;
    append.write(b"world", moment().wall)?;
    pushed.finish(append, ("a", WHO), &Digest::sha256(b"hello, world"), moment())?;
    told("world");
    pushed.put_manifest(put("a", &image(), &["1", "latest"]), WHO, moment())?;
    told("image");
    pushed.mount(("b", WHO), &Digest::sha256(b"layer"), "a", moment())?;
    told("mount");
    blob(pushed, "a", b"signature")?;
    pushed.put_manifest(put("a", &signature(), &["sig"]), WHO, moment())?;
    told("signature");
    let id = pushed.begin("b", WHO, Algorithm::Sha512, moment())?.to_string();
    pushed.cancel("b", WHO, &id)?;
    told("cancel");
    unless_gone(pushed.delete_tag(("a", WHO), "latest", moment()))?;
    told("untag");
    unless_gone(pushed.delete_manifest(("a", WHO), &Digest::sha256(&signature()), moment()))?;
    unless_gone(pushed.delete_blob(("a", WHO), &Digest::sha256(b"signature"), moment()))?;
    told("deleted");
    Ok(())
}

/// A delete that was cut off may have been done.
fn unless_gone<T>(result: Result<T, PushError>) -> Result<(), PushError> {
    match result {
        Ok(_) => Ok(()),
        Err(PushError::UnknownTag { .. } | PushError::UnknownManifest { .. } | PushError::UnknownBlob { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What was acknowledged holds, and what was not is there as a whole or not at all.
fn check_told(store: &Store, pushed: &Pushed, told: &[String]) {
    let snapshot = pushed.snapshot();
    check(store, &snapshot);
    let was_told = |what: &str| told.iter().any(|line| line == what);
    let repository = |name: &str| snapshot.repository(name);
    let has_blob =
        |name, content: &[u8]| repository(name).is_some_and(|it| it.blob(&Digest::sha256(content)).is_some());
    let tag = |tag| repository("a").and_then(|it| it.tag(tag)).map(|tag| tag.digest.clone());
    assert!(!was_told("layer") || has_blob("a", b"layer"));
    assert!(!was_told("world") || has_blob("a", b"hello, world"));
    assert!(!was_told("mount") || has_blob("b", b"layer"));
    assert!(!was_told("image") || tag("1") == Some(Digest::sha256(&image())));
    assert!(!was_told("untag") || tag("latest").is_none());
    assert!(!was_told("deleted") || (tag("sig").is_none() && !has_blob("a", b"signature")));
    assert!(!was_told("signature") || was_told("untag") || tag("sig") == Some(Digest::sha256(&signature())));
    if let Some(id) = told.last().and_then(|line| line.strip_prefix("upload ")) {
        let finished = has_blob("a", b"hello, world");
        match pushed.acknowledged("a", WHO, id) {
            Ok(offset) => assert_eq!(offset, 7),
            // It may have been finished before the cut, or given up by a failure that leaves its bytes unknown.
            Err(PushError::UnknownUpload { .. }) => assert!(finished || !store_has_upload(store, id)),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn store_has_upload(store: &Store, id: &str) -> bool {
    store.path().join("uploads").join(id).exists()
}

/// Dead uploads leave nothing visible, and nothing at all once they are expired.
fn check_clean(world: &World, pushed: &Pushed) {
    pushed.expire_uploads(later(48)).unwrap();
    assert_eq!(files(&world.path().join("uploads")), [] as [&str; 0]);
    // The two blobs, the image, and what was deleted, which waits for the garbage collector.
    assert_eq!(files(&world.path().join("blobs")).len(), 5);
}

#[test]
fn killed_at_every_step_nothing_acknowledged_is_lost() {
    for step in 0..MOST_STEPS {
        let world = World::new();
        let finished = push_in_another_process(&world, step);
        let told = std::fs::read_to_string(world.path().join("../told")).unwrap_or_default();
        let told: Vec<String> = told.lines().map(str::to_owned).collect();
        let pushed = world.try_open().unwrap_or_else(|error| panic!("killed at step {step}: {error:?}"));
        check_told(&world.store(), &pushed, &told);
        push_all(&pushed, &mut |_| {}).unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
        check(&world.store(), &pushed.snapshot());
        check_clean(&world, &pushed);
        if finished {
            assert!(step > 60, "only {step} steps were seen");
            return;
        }
    }
    panic!("pushing has more than {MOST_STEPS} steps")
}

/// Whether it came to its end before the step at which it was to be killed.
fn push_in_another_process(world: &World, step: usize) -> bool {
    let folder = world.path().to_str().unwrap().to_owned();
    came_to_its_end("pushed::crash::push_and_die", &[(FOLDER, folder), (STEP, step.to_string())])
}

#[test]
#[ignore = "started by the test above in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
fn push_and_die() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let (folder, at_step): (_, usize) = (variable(FOLDER), variable(STEP).parse().unwrap());
    let folder = Path::new(&folder);
    let seen = AtomicUsize::new(0);
    failpoint::set_shared(Arc::new(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) == at_step {
            // Like SIGKILL: no destructor runs.
            std::process::abort();
        }
        Ok(())
    }));
    let mut told = std::fs::File::create(folder.join("../told")).unwrap();
    let pushed = Pushed::open(&Store::open(folder).unwrap(), &settings(), guard(), moment()).unwrap();
    push_all(&pushed, &mut |line| writeln!(told, "{line}").unwrap()).unwrap();
}

#[test]
fn a_full_disk_at_any_step_tears_nothing() {
    fail_at_every_step(io::ErrorKind::StorageFull);
}

#[test]
fn an_error_of_the_disk_at_any_step_tears_nothing() {
    fail_at_every_step(io::ErrorKind::Other);
}

fn fail_at_every_step(kind: io::ErrorKind) {
    for step in 0..MOST_STEPS {
        let world = World::new();
        let hit = fail_once(step, kind);
        let mut told: Vec<String> = Vec::new();
        let result = world.try_open().and_then(|pushed| {
            let result = push_all(&pushed, &mut |line| told.push(line.to_owned()));
            // Also before anything is read again.
            check_told(&world.store(), &pushed, &told);
            result
        });
        failpoint::set_shared(Arc::new(|_| Ok(())));
        if let Err(error) = &result {
            assert!(error.is_environment() && !error.is_refusal(), "step {step}: {error:?}");
        }
        let pushed = world.try_open().unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
        check_told(&world.store(), &pushed, &told);
        push_all(&pushed, &mut |_| {}).unwrap_or_else(|error| panic!("after step {step}: {error:?}"));
        check(&world.store(), &pushed.snapshot());
        check_clean(&world, &pushed);
        if !hit.load(Ordering::SeqCst) {
            result.unwrap();
            assert!(step > 60, "only {step} steps were seen");
            return;
        }
    }
    panic!("pushing has more than {MOST_STEPS} steps")
}

fn fail_once(at_step: usize, kind: io::ErrorKind) -> Arc<AtomicBool> {
    let (hit, seen) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let told = hit.clone();
    failpoint::set_shared(Arc::new(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) == at_step {
            told.store(true, Ordering::SeqCst);
            return Err(kind.into());
        }
        Ok(())
    }));
    hit
}

#[test]
fn after_a_failed_sync_of_the_log_nothing_more_is_written_until_the_next_start() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = armed.clone();
    failpoint::set_shared(Arc::new(move |step| {
        if step == "sync pushed log" && is_armed.swap(false, Ordering::SeqCst) {
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    }));
    let pushed = world.open();
    armed.store(true, Ordering::SeqCst);
    let error = blob(&pushed, "a", b"layer").unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::Io { .. })), "{error:?}");
    assert!(pushed.snapshot().repository("a").is_none());
    assert!(matches!(blob(&pushed, "a", b"layer"), Err(PushError::Broken)));
    drop(pushed);
    failpoint::set_shared(Arc::new(|_| Ok(())));
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    check(&world.store(), &pushed.snapshot());
}
