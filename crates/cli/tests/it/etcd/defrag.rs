//! `sealock etcd defrag`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

#[test]
fn a_members_file_shrinks() {
    let Some(programs) = programs() else { return };
    let mut machine = Machine::new(&programs, &Network::new(), 1);
    machine.begin();
    let value = "x".repeat(100_000);
    for _ in 0..20 {
        machine.etcdctl(&["put", "k", &value]);
    }
    let revision = machine.json(&["status"])["states"][0]["status"]["revision"].to_string();
    machine.etcdctl(&["compact", "--physical", &revision]);
    machine.must(&["defrag", "--dry-run"]);
    let outcome = machine.json(&["defrag", "--yes", "--disarm"]);
    let of = |field: &str| outcome["members"][0][field].as_i64().expect("bytes");
    assert!(of("after") < of("before"), "{outcome}");
    assert!(machine.must_not(3, &["defrag", "--yes", "--member", "m9"]).contains("no member m9"));
}
