//! `sealock etcd restore`

use std::fs;

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

#[test]
fn a_restore_is_rehearsed_then_real_and_what_was_there_stays_aside() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut machine = Machine::new(&programs, &network, 1);
    machine.play_kubelet();
    let binary = programs.folder().display().to_string();
    let address = machine.address.to_string();
    let pod = ["--run-by", "static-pod", "--image", "registry.k8s.io/etcd:3.6.8-0", "--yes"];
    machine.must(&[&["init", "--name", "m1", "--address", &address][..], &pod].concat());
    machine.etcdctl(&["put", "k", "before"]);
    let digest = machine.json(&["snapshot", "one.db"])["digest"].as_str().expect("a digest").to_owned();
    machine.etcdctl(&["put", "k", "after"]);
    let before = machine.json(&["status"])["states"][0]["status"]["revision"].as_i64().expect("a revision");

    let drill = machine.json(&["restore", "one.db", "--digest", &digest, "--rehearse", "--binary", &binary]);
    assert_eq!(drill["read"]["keys"], 1);
    assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]).trim(), "after", "a drill touches nothing");
    let lacks = machine.must_not(2, &["restore", "one.db", "--yes"]);
    assert!(lacks.contains("--binary"), "{lacks}");
    let other = format!("sha256:{}", "0".repeat(64));
    let refused = machine.must_not(3, &["restore", "one.db", "--digest", &other, "--binary", &binary, "--yes"]);
    assert!(refused.contains("was meant"), "{refused}");
    assert_eq!(machine.run(&["restore", "one.db", "--binary", &binary]).status.code(), Some(2), "nobody was asked");

    machine.must(&["restore", "one.db", "--digest", &digest, "--binary", &binary, "--yes"]);
    assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]).trim(), "before");
    let after = machine.json(&["status"])["states"][0]["status"]["revision"].as_i64().expect("a revision");
    assert!(after > before + 900_000_000, "watchers must notice: {before} and {after}");
    let asides: Vec<String> = machine.list("/var/lib").into_iter().filter(|name| name.starts_with("etcd.20")).collect();
    assert_eq!(asides.len(), 1, "{asides:?}");
    assert!(fs::metadata(machine.at(&format!("/var/lib/{}/member/snap/db", asides[0]))).is_ok());
    assert_eq!(machine.list("/var/lib/etcd"), ["member"]);
}

#[test]
fn a_cluster_begins_with_what_a_snapshot_holds() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    one.begin();
    one.etcdctl(&["put", "k", "v"]);
    one.must(&["snapshot", "one.db"]);
    let mut two = Machine::new(&programs, &network, 2);
    fs::copy(one.path("one.db"), two.path("one.db")).expect("a copy");
    two.supervise();
    let flags = two.flags();
    let init: Vec<&str> =
        ["init", "--snapshot", "one.db"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    two.must(&init);
    assert_eq!(two.etcdctl(&["get", "k", "--print-value-only"]).trim(), "v");
    let clusters = [&one, &two].map(|machine| machine.json(&["status"])["cluster"].clone());
    assert_ne!(clusters[0], clusters[1], "another cluster");
}
