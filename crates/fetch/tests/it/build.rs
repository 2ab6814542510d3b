//! Locks become bundles.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealock_bundle::{ArchiveError, Lock};
use sealock_fetch::{Event, FetchError, Progress, build};
use sealock_testkit::upstream::{Fault, Seen};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::world::{SPEC, World, settings_of};

async fn locked() -> (World, Lock) {
    let world = World::new();
    let lock = world.lock(SPEC).await.unwrap_or_else(|error| panic!("{}", world.told(&error)));
    world.upstream.take_seen();
    (world, lock)
}

pub(crate) async fn build_in(world: &World, lock: &Lock, name: &str) -> Result<Vec<u8>, FetchError> {
    let path = build(lock, world.folder.path(), &world.path(name), &world.settings(), &Progress::silent()).await?;
    Ok(fs::read(path).unwrap())
}

/// The entries of a tar archive.
fn entries(bundle: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut tar = tar::Archive::new(bundle);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), content)
    };
    tar.entries().unwrap().map(read).collect()
}

#[tokio::test]
async fn every_blob_is_in_its_place_and_comes_once() {
    let (world, lock) = locked().await;
    let bundle = build_in(&world, &lock, "out.sealock").await.unwrap();
    let entries = entries(&bundle);
    for blob in &lock.blobs {
        let content = &entries[&format!("blobs/sha256/{}", blob.digest.hex())];
        assert_eq!(Digest::sha256(content), blob.digest);
    }
    let fetched = lock.blobs.iter().filter(|blob| !blob.is_generated()).count();
    let local = 1;
    assert_eq!(world.upstream.take_seen().len(), fetched - local);
    assert!(!world.path("out.sealock.partial").exists());
    assert!(build_in(&world, &lock, "again.sealock").await.unwrap() == bundle, "two builds differ");
}

/// Builds once more after a build that ended early: a thread that wrote for it may not have ended yet, and holds the file.
async fn built_at_last(world: &World, lock: &Lock, name: &str) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match build_in(world, lock, name).await {
            Err(FetchError::Archive(ArchiveError::Busy { .. })) => {
                assert!(Instant::now() < deadline, "the build before has its file after 60 s");
                tokio::task::yield_now().await;
            }
            built => return built.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_build_that_failed_goes_on_where_it_stopped() {
    let (world, lock) = locked().await;
    let layer = lock.blobs.iter().max_by_key(|blob| blob.size).unwrap();
    world.upstream.fail(layer.digest.hex(), Fault::Status(503));
    let error = build_in(&world, &lock, "out.sealock").await.map(|bundle| bundle.len()).unwrap_err();
    assert!(error.is_environment() && !error.is_refusal(), "{error}");
    assert!(!world.path("out.sealock").exists());
    world.upstream.heal();
    let before = world.upstream.take_seen().len();
    let bundle = built_at_last(&world, &lock, "out.sealock").await;
    let again = world.upstream.take_seen();
    assert!(again.iter().any(|seen| seen.target.contains(layer.digest.hex())));
    let fetched = lock.blobs.iter().filter(|blob| !blob.is_generated()).count();
    assert!(again.len() < fetched, "{} of {fetched} were fetched again, after {before} requests", again.len());
    assert!(build_in(&world, &lock, "fresh.sealock").await.unwrap() == bundle, "two builds differ");
}

#[tokio::test]
async fn a_build_that_is_dropped_in_the_middle_goes_on() {
    let (world, lock) = locked().await;
    let layer = lock.blobs.iter().max_by_key(|blob| blob.size).unwrap();
    world.upstream.fail(layer.digest.hex(), Fault::Stall(1000));
    let (out, settings) = (world.path("out.sealock"), world.settings());
    let silent = Progress::silent();
    let dropped = build(&lock, world.folder.path(), &out, &settings, &silent);
    assert!(tokio::time::timeout(Duration::from_millis(700), dropped).await.is_err(), "it should have been stuck");
    assert!(!out.exists());
    world.upstream.heal();
    let bundle = built_at_last(&world, &lock, "out.sealock").await;
    assert!(build_in(&world, &lock, "fresh.sealock").await.unwrap() == bundle, "two builds differ");
}

#[tokio::test]
async fn content_that_is_not_what_was_locked_is_refused() {
    let (world, lock) = locked().await;
    for (path, name) in [("ghcr.io/team/web/blobs", "one.sealock"), ("kubelet", "two.sealock")] {
        world.upstream.fail(path, Fault::Flip);
        let error = build_in(&world, &lock, name).await.map(|bundle| bundle.len()).unwrap_err();
        assert_eq!(error.code().map(Code::as_str), Some("UPSTREAM_DIGEST"), "{error}");
        world.upstream.heal();
        assert!(!world.path(name).exists());
    }
    world.write("manifests/10-web.yaml", "changed: true\n");
    let error = build_in(&world, &lock, "three.sealock").await.map(|bundle| bundle.len()).unwrap_err();
    assert!(error.to_string().contains("has changed since the lock was made"), "{error}");
    assert!(!world.path("three.sealock").exists());
}

#[tokio::test]
async fn progress_adds_up() {
    let (world, lock) = locked().await;
    let sums = Arc::new(Mutex::new((0, 0, 0)));
    let seen = Arc::clone(&sums);
    let progress = Progress::new(move |event| {
        let mut sums = seen.lock().unwrap();
        match event {
            Event::Planned { bytes, .. } => sums.0 += bytes,
            Event::Advanced(bytes) => sums.1 += bytes,
            Event::Rewound(bytes) => sums.2 += bytes,
            _ => {}
        }
    });
    world.upstream.fail_times("ghcr.io/team/web/blobs", Fault::Truncate(60_000), 1);
    world.upstream.fail_times("ghcr.io/team/web/blobs", Fault::NoRange, 2);
    build(&lock, world.folder.path(), &world.path("out.sealock"), &world.settings(), &progress).await.unwrap();
    let (planned, advanced, rewound) = *sums.lock().unwrap();
    assert_eq!(planned, advanced - rewound);
}

#[tokio::test]
async fn two_builds_of_one_bundle_do_not_mix() {
    let (world, lock) = locked().await;
    world.upstream.fail("kubelet", Fault::Stall(0));
    let (out, settings) = (world.path("out.sealock"), world.settings());
    let silent = Progress::silent();
    let first = build(&lock, world.folder.path(), &out, &settings, &silent);
    let second = async {
        while !world.path("out.sealock.partial").exists() {
            tokio::task::yield_now().await;
        }
        build_in(&world, &lock, "out.sealock").await.map(|bundle| bundle.len())
    };
    tokio::select! {
        _ = first => panic!("the first build should have been stuck"),
        second = second => assert!(second.unwrap_err().to_string().contains("out.sealock"), "it names the file"),
    }
    assert!(File::open(&out).is_err());
}

/// The child of [`killed_like_kill_9_it_goes_on`]: builds what lies in the folder that its standard input names.
#[tokio::test]
#[ignore = "is started by killed_like_kill_9_it_goes_on, which kills it"]
async fn child_that_is_killed() {
    let mut folder = String::new();
    std::io::stdin().read_line(&mut folder).unwrap();
    let folder = Path::new(folder.trim());
    let lock = Lock::from_bytes(&fs::read(folder.join("sealock.lock")).unwrap()).unwrap();
    let settings = settings_of(&fs::read_to_string(folder.join("upstream")).unwrap(), &folder.join("ca.pem"));
    let built = build(&lock, folder, &folder.join("out.sealock"), &settings, &Progress::silent()).await;
    panic!("it should have been killed: {built:?}");
}

#[tokio::test]
async fn killed_like_kill_9_it_goes_on() {
    let (world, lock) = locked().await;
    world.write("sealock.lock", std::str::from_utf8(&lock.to_bytes().unwrap()).unwrap());
    world.write("upstream", &world.upstream.url());
    world.write("ca.pem", world.upstream.ca_pem());
    let layer = lock.blobs.iter().max_by_key(|blob| blob.size).unwrap();
    world.upstream.fail(layer.digest.hex(), Fault::Stall(50_000));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "build::child_that_is_killed", "--ignored"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", world.folder.path().display()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut asked = Vec::new();
    while !asked.iter().any(|seen: &Seen| seen.target.contains(layer.digest.hex())) || asked.len() < 12 {
        assert!(Instant::now() < deadline, "the build did not get to the largest layer");
        asked.extend(world.upstream.take_seen());
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(world.path("out.sealock.partial").exists() && !world.path("out.sealock").exists());
    world.upstream.heal();
    let bundle = build_in(&world, &lock, "out.sealock").await.unwrap();
    assert!(build_in(&world, &lock, "fresh.sealock").await.unwrap() == bundle, "two builds differ");
}
