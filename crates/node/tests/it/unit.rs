//! Units.

use std::collections::BTreeMap;

use sealock_node::step::Unit;
use sealock_node::{Probe, Step};

use crate::machine::{Machine, apply, probe, undo};

fn unit(content: &str) -> Step {
    let drop_ins = BTreeMap::from([("10-x.conf".to_owned(), "[Service]\n".to_owned())]);
    let restart_on = vec!["/etc/tool.conf".to_owned()];
    Step::new(
        "u",
        Unit {
            name: "tool.service".into(),
            content: content.into(),
            drop_ins,
            running: true,
            restart_on,
            replaces: Default::default(),
        },
    )
}

fn restarts(machine: &Machine) -> usize {
    machine.calls().iter().filter(|call| call.starts_with("systemctl restart")).count()
}

#[test]
fn a_unit_is_started_once_and_again_only_when_what_it_reads_has_changed() {
    let machine = Machine::new();
    machine.put("/etc/tool.conf", "a");
    apply(&unit("one"), &machine).unwrap();
    assert!(machine.is_active("tool.service"));
    assert_eq!(restarts(&machine), 1);
    apply(&unit("one"), &machine).unwrap();
    assert_eq!(restarts(&machine), 0);
    machine.put("/etc/tool.conf", "b");
    assert!(matches!(probe(&unit("one"), &machine), Probe::NotDone { .. }));
    apply(&unit("one"), &machine).unwrap();
    apply(&unit("two"), &machine).unwrap();
    assert_eq!(restarts(&machine), 2);
}

#[test]
fn undo_stops_a_unit_and_takes_its_files_away() {
    let machine = Machine::new();
    machine.put("/etc/tool.conf", "a");
    apply(&unit("one"), &machine).unwrap();
    undo(&unit("one"), &machine);
    assert!(!machine.is_active("tool.service"));
    assert!(!machine.path().join("etc/systemd/system/tool.service").exists());
}

#[test]
fn a_unit_of_someone_else_is_foreign() {
    let machine = Machine::new();
    machine.put("/etc/systemd/system/tool.service", "theirs");
    assert!(matches!(probe(&unit("one"), &machine), Probe::Foreign { .. }));
    assert!(apply(&unit("one"), &machine).is_err());
    assert_eq!(machine.text("/etc/systemd/system/tool.service"), "theirs");
}
