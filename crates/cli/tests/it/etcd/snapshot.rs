//! `sealock etcd snapshot`

use std::fs;

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};
use crate::sandbox::Sandbox;

#[test]
fn a_snapshot_is_written_once_and_checked_and_a_damaged_one_is_refused() {
    let Some(programs) = programs() else { return };
    let mut machine = Machine::new(&programs, &Network::new(), 1);
    machine.begin();
    machine.etcdctl(&["put", "k", "v"]);
    let taken = machine.json(&["snapshot", "one.db"]);
    let digest = taken["digest"].as_str().expect("a digest");
    assert_eq!(machine.json(&["snapshot", "--check", "one.db", "--digest", digest])["size"], taken["size"]);
    assert!(machine.must_not(1, &["snapshot", "one.db"]).contains("one.db"), "nothing is written over");

    let whole = fs::read(machine.path("one.db")).expect("the snapshot");
    machine.write("cut.db", &whole[..whole.len() - 512]);
    assert!(machine.must_not(3, &["snapshot", "--check", "cut.db"]).contains("error[DIGEST]"));
    machine.write("short.db", &whole[..whole.len() - 7]);
    assert!(machine.must_not(3, &["snapshot", "--check", "short.db"]).contains("error[INCOMPLETE]"));
    let mut flipped = whole;
    flipped[5000] ^= 4;
    machine.write("flipped.db", &flipped);
    let refused = machine.must_not(3, &["restore", "flipped.db", "--rehearse"]);
    assert!(refused.contains("error[DIGEST]") && refused.contains("is no good snapshot"), "{refused}");
}

#[test]
fn what_is_no_snapshot_is_refused_without_a_cluster() {
    let sandbox = Sandbox::new();
    sandbox.write("one.db", "hello");
    insta::assert_snapshot!(sandbox.see(&["etcd", "snapshot", "--check", "one.db"]));
}
