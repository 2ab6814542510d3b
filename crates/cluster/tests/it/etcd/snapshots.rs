//! Snapshots are whole or refused, and a restore is rehearsed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use sealock_cluster::etcd::restore::{BUMP, Programs, Wanted, rehearse};
use sealock_cluster::etcd::snapshot::{self, SnapshotFault, Taken};
use sealock_cluster::etcd::{Endpoints, Etcd, EtcdError};
use sealock_testkit::etcd::{EtcdCluster, programs};
use sealock_testkit::grpc_proxy::{GrpcProxy, Loss};
use sealock_trust::reason::Code;

use super::{PATIENCE, client, serving};

fn fault(error: EtcdError) -> SnapshotFault {
    assert!(error.is_refusal(), "{error}");
    match error {
        EtcdError::Snapshot { source, .. } => source,
        other => panic!("{other}"),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A snapshot of members that know the version of their storage: the leader finds it out some seconds after it was elected.
async fn taken_by_its_version(etcd: &Etcd, path: &Path) -> Taken {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let taken = etcd.snapshot(path, &|_, _| {}).await.unwrap();
        if !taken.version.is_empty() {
            return taken;
        }
        assert!(Instant::now() < deadline, "the members do not say the version of their storage");
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_checked_and_rehearsed_and_a_damaged_one_is_refused() {
    let Some(found) = programs() else { return };
    let cluster = EtcdCluster::start(&found, 3);
    let etcd = client(&cluster, &[0, 1, 2]);
    serving(&etcd, 3, 0).await;
    for n in 0..20 {
        cluster.etcdctl(0, &["put", &format!("key-{n}"), "a value"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let taken = taken_by_its_version(&etcd, &path).await;
    assert_eq!(taken.snapshot.size % 512, 32);
    assert_eq!(taken.version, "3.6.0", "its storage's, as the member says");
    assert_eq!(taken.revision, 21);
    assert_eq!(names_in(folder.path()), ["one.db"]);
    assert_eq!(snapshot::check(&path, Some(&taken.snapshot.digest)).unwrap(), taken.snapshot);
    let again = etcd.snapshot(&path, &|_, _| {}).await.unwrap_err();
    assert!(matches!(again, EtcdError::Io { .. }), "nothing is written over: {again}");

    let programs = Programs { etcd: found.etcd(), etcdutl: found.etcdutl() };
    let scratch = tempfile::tempdir().unwrap();
    // Two that were killed left their folders, which nobody holds any more: one with data, one as empty as it was made.
    fs::create_dir(scratch.path().join(".sealock-rehearsal-killed")).unwrap();
    fs::write(scratch.path().join(".sealock-rehearsal-killed/ca.crt"), "").unwrap();
    fs::create_dir(scratch.path().join(".sealock-rehearsal-begun")).unwrap();
    let rehearsed = rehearse(&programs, &wanted(&path, Some(&taken.snapshot.digest), scratch.path())).await.unwrap();
    assert_eq!(rehearsed.read.keys, 20);
    assert_eq!(rehearsed.content.revision, 21);
    assert!(rehearsed.read.revision >= rehearsed.content.revision + BUMP as i64, "{rehearsed:?}");
    assert_eq!(names_in(scratch.path()), Vec::<String>::new(), "nothing is left of it");

    let whole = fs::read(&path).unwrap();
    let bad = folder.path().join("bad.db");
    for (bytes, code) in [
        (whole[..whole.len() - 1].to_vec(), Code::Incomplete),
        (whole[..whole.len() - 512].to_vec(), Code::Digest),
        (whole[..100].to_vec(), Code::Incomplete),
        (flipped(&whole, whole.len() / 2), Code::Digest),
        (flipped(&whole, whole.len() - 1), Code::Digest),
    ] {
        fs::write(&bad, &bytes).unwrap();
        let refused = fault(rehearse(&programs, &wanted(&bad, None, scratch.path())).await.unwrap_err());
        assert_eq!(refused.code(), code, "{refused}");
    }
    // What has the right SHA-256 at its end, and is no database: etcd's own program finds out, in the temporary folder.
    let mut nonsense = vec![7; 8192];
    nonsense.extend(hex(&sealock_trust::Digest::sha256(&nonsense)));
    fs::write(&bad, &nonsense).unwrap();
    let error = rehearse(&programs, &wanted(&bad, None, scratch.path())).await.unwrap_err();
    assert!(matches!(error, EtcdError::Program { .. }), "{error}");
    // A whole one, but another than was written down.
    let other = fault(snapshot::check(&path, Some(&sealock_trust::Digest::sha256(b"another"))).unwrap_err());
    assert!(matches!(other, SnapshotFault::Other { .. }));
    assert_eq!(names_in(scratch.path()), Vec::<String>::new());
}

fn wanted<'a>(snapshot: &'a Path, digest: Option<&'a sealock_trust::Digest>, scratch: &'a Path) -> Wanted<'a> {
    Wanted { snapshot, digest, scratch, bump: BUMP }
}

fn hex(digest: &sealock_trust::Digest) -> Vec<u8> {
    let text = digest.hex();
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}

fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_begun_anew_and_after_some_tries_nothing_is_left_of_it() {
    let Some(found) = programs() else { return };
    let cluster = EtcdCluster::start_in_clear(&found, 1);
    serving(&client(&cluster, &[0]), 1, 0).await;
    let target = cluster.member(0).client_url().trim_start_matches("http://").parse().unwrap();
    let proxy = GrpcProxy::start(target).await;
    let seeds = vec![proxy.url().parse().unwrap()];
    let etcd = Etcd::new(&Endpoints { seeds, credentials: None }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");

    proxy.lose("/Snapshot", Loss::After(5000), 2);
    let taken = etcd.snapshot(&path, &|_, _| {}).await.unwrap();
    assert_eq!(proxy.count("/Snapshot"), 3);
    assert_eq!(snapshot::check(&path, None).unwrap(), taken.snapshot);

    proxy.lose("/Snapshot", Loss::After(5000), 9);
    let error = etcd.snapshot(&folder.path().join("two.db"), &|_, _| {}).await.unwrap_err();
    assert!(matches!(error, EtcdError::NoSnapshot { tries: 3, .. }) && error.can_retry(), "{error}");
    assert_eq!(names_in(folder.path()), ["one.db"]);
}
