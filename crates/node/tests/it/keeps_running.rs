//! Units that were started anew, and go on running.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sealock_node::step::{KeepsRunning, Unit};
use sealock_node::{Probe, Step};

use crate::machine::{Machine, apply, probe};

fn runs(seconds: u32) -> Step {
    Step::new("tool/runs", KeepsRunning { unit: "tool.service".into(), seconds })
}

fn tool() -> Step {
    let (name, content) = ("tool.service".to_owned(), "[Service]\n".to_owned());
    let (drop_ins, restart_on, replaces) = Default::default();
    Step::new("tool/unit", Unit { name, content, drop_ins, running: true, restart_on, replaces })
}

fn started(machine: &Machine, ahead: Duration) {
    let now: Duration = clock_gettime(ClockId::Monotonic).try_into().unwrap();
    machine.put("/run/started/tool.service", &(now + ahead).as_micros().to_string());
}

fn because(step: &Step, machine: &Machine) -> String {
    let Probe::NotDone { because } = probe(step, machine) else { panic!("it counts as running") };
    because
}

#[test]
fn a_unit_has_to_run_for_as_long_as_is_said_and_is_waited_for() {
    let machine = Machine::new();
    assert_eq!(because(&runs(1), &machine), "tool.service does not run");
    apply(&tool(), &machine).unwrap();
    assert_eq!(probe(&runs(1), &machine), Probe::Done, "it was started long ago");
    started(&machine, Duration::ZERO);
    assert_eq!(because(&runs(600), &machine), "tool.service was started less than 600 s ago");
    apply(&runs(1), &machine).unwrap();
    assert_eq!(probe(&runs(1), &machine), Probe::Done);
    // What starts once more begins anew.
    started(&machine, Duration::from_secs(600));
    assert_eq!(because(&runs(1), &machine), "tool.service was started less than 1 s ago");
}
