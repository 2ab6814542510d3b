//! What was written down says times that have not come: that is what a clock leaves that was ahead, and was set back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sealock_node::request::Secrets;
use sealock_node::step::{EtcdSnapshot, NodeReady};
use sealock_node::{Context, Probe, Step, StepKind};

use crate::machine::{Machine, apply, probe};

const FOLDER: &str = "/var/lib/sealock/snapshots";
const BEFORE: &str = "v1.37.2";
/// By so much the clock was ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(25);

fn ahead() -> Timestamp {
    Timestamp::now() + AHEAD
}

fn snapshot() -> Step {
    let program = "/opt/sealock/sealock".to_owned();
    Step::new("etcd/snapshot", EtcdSnapshot { program, before: BEFORE.to_owned(), config: None })
}

#[test]
fn the_snapshot_that_was_just_taken_stays_though_others_say_that_they_were_taken_later() {
    let machine = Machine::new();
    let later = ahead().strftime("%Y-%m-%dT%H").to_string();
    for minute in 10..14 {
        machine.put(&format!("{FOLDER}/{later}{minute}00Z-before-v1.36.3.db"), "taken when the clock was ahead");
    }
    apply(&snapshot(), &machine).unwrap();
    let names: BTreeSet<String> = std::fs::read_dir(machine.path().join(&FOLDER[1..]))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("-before-v1.37.2.db")), "{names:?}");
}

#[test]
fn a_snapshot_of_a_time_that_has_not_come_is_none_of_this_hour() {
    let machine = Machine::new();
    apply(&snapshot(), &machine).unwrap();
    assert_eq!(probe(&snapshot(), &machine), Probe::Done);
    let record = "/var/lib/sealock/node/snapshot.json";
    let mut told: serde_json::Value = serde_json::from_str(&machine.text(record)).unwrap();
    told["at"] = ahead().to_string().into();
    machine.put(record, &told.to_string());
    let Probe::NotDone { because } = probe(&snapshot(), &machine) else { panic!("it counts") };
    assert!(because.contains(" is of "), "{because}");
}

fn ready() -> Step {
    let node = "w1".to_owned();
    let (version, containerd) = (None, None);
    Step::new("ready", NodeReady { node, control_plane: false, version, containerd, lately: true, timeout_seconds: 3 })
}

/// The node says that it is Ready, and its lease that it was renewed at `at`.
fn reports(machine: &Machine, at: Timestamp) {
    machine.put("/run/api/node/w1.json", r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#);
    let lease = serde_json::json!({"spec": {"renewTime": at.to_string()}});
    machine.put("/run/api/lease/w1.json", &lease.to_string());
}

#[test]
fn a_node_that_is_silent_has_not_reported_lately_because_a_clock_was_set_back() {
    let machine = Machine::new();
    reports(&machine, Timestamp::now());
    assert_eq!(probe(&ready(), &machine), Probe::Done);
    reports(&machine, ahead());
    let Probe::NotDone { because } = probe(&ready(), &machine) else { panic!("its last word is 25 hours ahead") };
    assert_eq!(because, "kubelet on w1 has not reported since");
    let late = apply(&ready(), &machine).unwrap_err();
    assert!(late.to_string().contains("w1 is not Ready"), "{late}");
}

/// Its own API server was away until now: what the node said a moment ago is of before that.
#[test]
fn a_node_whose_version_is_waited_for_has_to_report_after_the_wait_began() {
    let StepKind::NodeReady(mut ready) = ready().action else { unreachable!("it is what was made above") };
    (ready.version, ready.timeout_seconds) = (Some("v1.37.2".to_owned()), 2);
    let ready = Step::new("ready", ready);
    let machine = Machine::new();
    let begun = Timestamp::now();
    let reports = |at: Timestamp| {
        let status = serde_json::json!({"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.37.2"}});
        machine.put("/run/api/node/w1.json", &serde_json::json!({"status": status}).to_string());
        let lease = serde_json::json!({"spec": {"renewTime": at.to_string()}});
        machine.put("/run/api/lease/w1.json", &lease.to_string());
    };
    reports(begun);
    let Probe::NotDone { because } = probe(&ready, &machine) else { panic!("nobody has waited yet") };
    assert_eq!(because, "has kubelet on w1 said so since?");
    let told = RefCell::new(Vec::new());
    let renew = |said: &str| {
        told.borrow_mut().push(said.to_owned());
        if said.contains("has not reported since") {
            reports(begun + SignedDuration::from_secs(10));
        }
    };
    let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
    let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &renew };
    // It is waited for shorter than it has to last.
    ready.apply(&machine, &context).unwrap_err();
    assert_eq!(told.into_inner(), ["kubelet on w1 has not reported since", "node w1 is Ready; is it so for 10s?"]);
}

#[test]
fn a_node_that_goes_on_to_report_is_waited_for_whatever_its_clock_says() {
    for off in [AHEAD, -AHEAD] {
        let machine = Machine::new();
        let begun = Timestamp::now() + off;
        reports(&machine, begun);
        let renewed = Cell::new(0);
        // As kubelet does while somebody waits for it.
        let renew = |_: &str| {
            renewed.set(renewed.get() + 10);
            reports(&machine, begun + SignedDuration::from_secs(renewed.get()));
        };
        let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
        let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &renew };
        ready().apply(&machine, &context).unwrap();
        assert!(renewed.get() > 0, "its first word was taken for a late one");
    }
}
