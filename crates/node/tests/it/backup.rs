//! What a backup brings back: by digest, never over something else, and as if never cut off.

use sealock_node::host::Entry;
use sealock_node::step::{BackupFile, BackupFiles, EtcdFromBackup, EtcdRestored, Mode};
use sealock_node::{Host, Probe, Step, StepError};
use sealock_trust::Digest;

use crate::etcd::at_every_change;
use crate::machine::{Machine, apply, bare, probe, undo};

const FOLDER: &str = "/var/lib/sealock/node/restore/abc";

fn files(of: &[(&str, &str, &str)]) -> Step {
    let file = |(source, path, content): &(&str, &str, &str)| BackupFile {
        source: (*source).into(),
        path: (*path).into(),
        digest: Digest::sha256(content.as_bytes()),
        mode: Mode::PRIVATE,
    };
    Step::new("f", BackupFiles { folder: FOLDER.into(), files: of.iter().map(file).collect() })
}

fn authorities() -> Step {
    files(&[
        ("kubernetes/pki/ca.key", "/etc/kubernetes/pki/ca.key", "a key"),
        ("kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/etcd/ca.crt", "a certificate"),
    ])
}

fn etcd(change: impl FnOnce(&mut EtcdFromBackup)) -> Step {
    let restored = EtcdRestored {
        snapshot: format!("{FOLDER}/etcd/snapshot.db"),
        digest: Digest::sha256(b"the snapshot"),
        etcdutl: format!("{FOLDER}/programs/etcdutl"),
        data: "/var/lib/etcd".into(),
        member: "cp1".into(),
        peer_url: "https://10.0.0.1:2380".into(),
        initial_cluster: "cp1=https://10.0.0.1:2380".into(),
        token: "restored-abc".into(),
        bump_revision: 9,
        run: "abc".into(),
    };
    let mut step = EtcdFromBackup { image: "registry.k8s.io/etcd:3.6.8-0".into(), folder: FOLDER.into(), restored };
    change(&mut step);
    Step::new("e", step)
}

fn unpacked() -> Machine {
    let machine = Machine::new();
    machine.put(&format!("{FOLDER}/kubernetes/pki/ca.key"), "a key");
    machine.put(&format!("{FOLDER}/kubernetes/pki/etcd/ca.crt"), "a certificate");
    machine.put(&format!("{FOLDER}/etcd/snapshot.db"), "the snapshot");
    machine
}

#[test]
fn authorities_get_their_places_and_are_taken_back() {
    at_every_change(unpacked, &authorities(), |machine| {
        assert_eq!(machine.text("/etc/kubernetes/pki/ca.key"), "a key");
        assert_eq!(machine.text("/etc/kubernetes/pki/etcd/ca.crt"), "a certificate");
    });
    let machine = unpacked();
    apply(&authorities(), &machine).unwrap();
    let key = machine.inspect("/etc/kubernetes/pki/ca.key").unwrap();
    assert!(matches!(key, Entry::File { mode: Mode::PRIVATE, .. }), "{key:?}");
    machine.put("/etc/kubernetes/pki/etcd/ca.crt", "another one by now");
    undo(&authorities(), &machine);
    assert_eq!(machine.inspect("/etc/kubernetes/pki/ca.key").unwrap(), Entry::Missing);
    assert_eq!(machine.text("/etc/kubernetes/pki/etcd/ca.crt"), "another one by now");
}

#[test]
fn another_authority_is_never_written_over() {
    let machine = unpacked();
    machine.put("/etc/kubernetes/pki/ca.key", "another key");
    assert!(matches!(probe(&authorities(), &machine), Probe::Foreign { .. }));
}

#[test]
fn what_was_changed_between_unpacking_and_use_is_refused() {
    let machine = unpacked();
    machine.put(&format!("{FOLDER}/kubernetes/pki/ca.key"), "a kez");
    let refused = apply(&authorities(), &machine).unwrap_err();
    assert!(matches!(refused, StepError::Invalid { .. }), "{refused}");
    assert_eq!(machine.inspect("/etc/kubernetes/pki/ca.key").unwrap(), Entry::Missing);
    machine.put(&format!("{FOLDER}/etcd/snapshot.db"), "the snapshou");
    apply(&etcd(|_| {}), &machine).unwrap_err();
    assert_eq!(machine.inspect("/var/lib/etcd/member").unwrap(), Entry::Missing);
}

#[test]
fn no_path_leads_elsewhere() {
    for (source, path) in [
        ("kubernetes/pki/ca.key", "/etc/passwd"),
        ("kubernetes/pki/ca.key", "/etc/kubernetes/../passwd"),
        ("../../../../../etc/shadow", "/etc/kubernetes/pki/ca.key"),
    ] {
        let step = files(&[(source, path, "a key")]);
        let refused = bare(|context| step.probe(&unpacked(), context)).unwrap_err();
        assert!(matches!(refused, StepError::Invalid { .. }), "{refused}");
    }
    for step in [
        etcd(|step| step.folder = "/etc".into()),
        etcd(|step| step.folder = "/var/lib/sealock/node/restore/..".into()),
        etcd(|step| step.restored.snapshot = "/media/other.db".into()),
        etcd(|step| step.restored.etcdutl = "/usr/bin/true".into()),
    ] {
        let refused = bare(|context| step.probe(&unpacked(), context)).unwrap_err();
        assert!(matches!(refused, StepError::Invalid { .. }), "{refused}");
    }
}

#[test]
fn etcd_gets_its_data_and_no_key_stays_behind() {
    at_every_change(unpacked, &etcd(|_| {}), |machine| {
        assert_eq!(machine.text("/var/lib/etcd/member/snap/db"), "the snapshot");
        assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
    });
}

/// A restore never begins where data is.
#[test]
fn data_that_is_there_is_never_written_into() {
    let machine = unpacked();
    machine.put("/var/lib/etcd/member/snap/db", "a cluster's");
    assert!(matches!(probe(&etcd(|_| {}), &machine), Probe::Foreign { .. }));
}

/// Brought once more to a host that has its data already: only what was unpacked goes.
#[test]
fn what_was_unpacked_again_goes_and_the_data_stays() {
    let machine = unpacked();
    apply(&etcd(|_| {}), &machine).unwrap();
    machine.put("/var/lib/etcd/member/snap/db", "what was written since");
    machine.put(&format!("{FOLDER}/etcd/snapshot.db"), "the snapshot");
    assert!(matches!(probe(&etcd(|_| {}), &machine), Probe::NotDone { .. }));
    apply(&etcd(|_| {}), &machine).unwrap();
    assert_eq!(machine.text("/var/lib/etcd/member/snap/db"), "what was written since");
    assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
}
