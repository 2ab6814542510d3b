//! A member of etcd that is lost: taken out, aside, and looked at when it has come again.

use std::fs;

use sealock_node::step::{MemberAside, MemberRemoved, MembersAgree};
use sealock_node::{Class, Probe, Step};
use serde_json::json;

use crate::machine::{Machine, apply, probe};

const PROGRAM: &str = "/opt/sealock/sealock/0.1.0/sealock";
const URL: &str = "https://10.77.0.12:2380";

fn etcd(machine: &Machine, (agreed, well): (bool, bool), learner: Option<bool>) {
    let mut members =
        vec![json!({"id": "1a", "name": "cp1", "peerUrls": ["https://10.77.0.11:2380"], "learner": false})];
    members.extend(learner.map(|learner| json!({"id": "8e", "name": "cp2", "peerUrls": [URL], "learner": learner})));
    machine.put("/run/etcd.json", &json!({"agreed": agreed, "well": well, "members": members}).to_string());
}

#[test]
fn a_member_is_taken_out_by_the_word_of_a_majority() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("removed", MemberRemoved { program, id: "8e".into(), peer_url: URL.into() });
    assert!(matches!(probe(&step, &machine), Probe::Unknown { .. }), "etcd does not answer");
    etcd(&machine, (false, false), Some(false));
    assert!(matches!(probe(&step, &machine), Probe::Unknown { .. }), "one member says what it remembers");
    etcd(&machine, (true, false), Some(false));
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    assert_eq!(step.class(), Class::OneWay);
}

#[test]
fn all_members_agree_when_the_one_that_came_votes_and_holds_what_the_others_hold() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("agree", MembersAgree { program, peer_url: URL.into(), timeout_seconds: 1 });
    let missing = || match probe(&step, &machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other}"),
    };
    etcd(&machine, (true, true), None);
    assert!(missing().contains("no member at https://10.77.0.12:2380"));
    etcd(&machine, (true, true), Some(true));
    assert!(missing().contains("has no vote yet"));
    etcd(&machine, (true, false), Some(false));
    assert!(missing().contains("not every member"));
    etcd(&machine, (true, true), Some(false));
    machine.put("/run/differs", "");
    assert_eq!(missing(), "cp2 holds something else");
    fs::remove_file(machine.path().join("run/differs")).unwrap();
    apply(&step, &machine).unwrap();
}

/// The data of the new member is not moved, whatever became of the old one's.
#[test]
fn data_is_moved_aside_once() {
    let machine = Machine::new();
    let aside = MemberAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-26T06-48-02Z".into() };
    let step = Step::new("aside", aside);
    machine.put("/var/lib/etcd/member/snap/db", "damaged");
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }));
    for place in
        ["/var/lib/etcd.2026-11-26T06-48-02Z/member/snap/db", "/var/lib/etcd/etcd.2026-11-26T06-48-02Z/member/db"]
    {
        let machine = Machine::new();
        machine.put(place, "damaged");
        machine.put("/var/lib/etcd/member/snap/db", "new");
        assert_eq!(probe(&step, &machine), Probe::Done, "{place}");
    }
}
