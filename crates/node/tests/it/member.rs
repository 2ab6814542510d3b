//! A member of etcd that is lost: taken out, aside, and looked at when it has come again.

use std::fs;

use sealock_node::step::{ApiServerBack, MemberAside, MemberRemoved, MembersAgree};
use sealock_node::{Class, Probe, Step};
use serde_json::json;

use crate::machine::{Machine, apply, probe};

const PROGRAM: &str = "/opt/sealock/sealock/0.1.0/sealock";
const URL: &str = "https://10.77.0.12:2380";

/// Two members that hold the same, of which the second may be missing.
fn etcd(machine: &Machine, agreed: bool, learner: Option<bool>) {
    let member = |id: &str, name: &str, url: &str, learner: bool| json!({"id": id, "name": name, "peerUrls": [url], "learner": learner});
    let mut members = vec![member("1a", "cp1", "https://10.77.0.11:2380", false)];
    members.extend(learner.map(|learner| member("8e", "cp2", URL, learner)));
    let state = |member: &serde_json::Value| json!({"member": member["id"], "problem": null, "alarms": []});
    let states: Vec<_> = members.iter().map(state).collect();
    let checks: Vec<_> = members.iter().map(|member| json!({"member": member, "hash": 7, "compacted": 1})).collect();
    let hashes = json!({"revision": 9, "checks": checks});
    let said = json!({"agreed": agreed, "well": true, "members": members, "states": states, "hashes": hashes});
    machine.put("/run/etcd.json", &said.to_string());
}

/// The member that came is found in another state.
fn found(machine: &Machine, field: &str, value: serde_json::Value) {
    let mut said: serde_json::Value = serde_json::from_str(&machine.text("/run/etcd.json")).unwrap();
    said["states"][1][field] = value;
    machine.put("/run/etcd.json", &said.to_string());
}

/// What the member at this place was found to hold.
fn holds(machine: &Machine, at: usize, hash: u32) {
    let mut said: serde_json::Value = serde_json::from_str(&machine.text("/run/etcd.json")).unwrap();
    said["hashes"]["checks"][at]["hash"] = json!(hash);
    machine.put("/run/etcd.json", &said.to_string());
}

#[test]
fn a_member_is_taken_out_by_the_word_of_a_majority() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("removed", MemberRemoved { program, id: "8e".into(), peer_url: URL.into() });
    assert!(matches!(probe(&step, &machine), Probe::Unknown { .. }), "etcd does not answer");
    etcd(&machine, false, Some(false));
    assert!(matches!(probe(&step, &machine), Probe::Unknown { .. }), "one member says what it remembers");
    etcd(&machine, true, Some(false));
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    assert_eq!(step.class(), Class::OneWay);
}

/// While it stands, nothing is written, and no member is there that could take it back.
#[test]
fn a_member_is_not_out_while_an_alarm_of_it_stands() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("removed", MemberRemoved { program, id: "8e".into(), peer_url: URL.into() });
    etcd(&machine, true, None);
    let mut said: serde_json::Value = serde_json::from_str(&machine.text("/run/etcd.json")).unwrap();
    said["strayAlarms"] = json!([{"member": "8e", "kind": "corrupt"}]);
    machine.put("/run/etcd.json", &said.to_string());
    assert!(matches!(probe(&step, &machine), Probe::NotDone { because } if because.contains("alarm")));
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done, "taken back by removing it once more");
    said["strayAlarms"] = json!([{"member": "77", "kind": "corrupt"}]);
    machine.put("/run/etcd.json", &said.to_string());
    assert_eq!(probe(&step, &machine), Probe::Done, "another one's is another one's");
}

#[test]
fn all_members_agree_when_the_one_that_came_votes_and_holds_what_the_others_hold() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("agree", MembersAgree { program, peer_url: URL.into(), timeout_seconds: 1 });
    let missing = || match probe(&step, &machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other}"),
    };
    etcd(&machine, false, Some(false));
    assert!(missing().contains("no majority"));
    etcd(&machine, true, None);
    assert!(missing().contains("no member at https://10.77.0.12:2380"));
    etcd(&machine, true, Some(true));
    assert!(missing().contains("has no vote yet"));
    etcd(&machine, true, Some(false));
    found(&machine, "problem", json!("connection refused"));
    assert!(missing().contains("is not well: connection refused"));
    etcd(&machine, true, Some(false));
    found(&machine, "alarms", json!(["CORRUPT"]));
    assert!(missing().contains("has raised an alarm"));
    etcd(&machine, true, Some(false));
    holds(&machine, 1, 8);
    assert!(missing().contains("holds something else than cp1"), "{}", missing());
    etcd(&machine, true, Some(false));
    apply(&step, &machine).unwrap();
}

/// Another one that differs comes back behind this one: it would be waited for in vain.
#[test]
fn whether_another_member_differs_is_not_the_matter_of_the_one_that_came() {
    let (machine, program) = (Machine::new(), PROGRAM.to_owned());
    let step = Step::new("agree", MembersAgree { program, peer_url: URL.into(), timeout_seconds: 1 });
    etcd(&machine, true, Some(false));
    let mut said: serde_json::Value = serde_json::from_str(&machine.text("/run/etcd.json")).unwrap();
    let third = json!({"id": "c3", "name": "cp3", "peerUrls": ["https://10.77.0.13:2380"], "learner": false});
    let check = json!({"member": third, "hash": 9, "compacted": 1});
    said["hashes"]["checks"].as_array_mut().unwrap().push(check);
    machine.put("/run/etcd.json", &said.to_string());
    assert_eq!(probe(&step, &machine), Probe::Done);
    holds(&machine, 1, 8);
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }), "it is alone with what it holds");
    let mut said: serde_json::Value = serde_json::from_str(&machine.text("/run/etcd.json")).unwrap();
    said["hashes"]["checks"].as_array_mut().unwrap().retain(|check| check["member"]["id"] == "8e");
    machine.put("/run/etcd.json", &said.to_string());
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }), "there is nothing to compare it with");
}

fn aside() -> Step {
    let name = "etcd.2026-11-26T06-48-02Z".to_owned();
    Step::new("aside", MemberAside { path: "/var/lib/etcd".into(), name })
}

/// The data of the new member is not moved, whatever became of the old one's.
#[test]
fn data_is_moved_aside_once_and_whole() {
    let (machine, step) = (Machine::new(), aside());
    machine.put("/var/lib/etcd/member/snap/db", "damaged");
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }));
    // Below a mount point it moves piece by piece, and was cut off behind the first one.
    machine.put("/var/lib/etcd/etcd.2026-11-26T06-48-02Z/lock", "");
    assert!(matches!(probe(&step, &machine), Probe::NotDone { .. }), "the rest is to follow");
    machine.put("/var/lib/etcd.2026-11-26T06-48-02Z/member/snap/db", "damaged");
    assert_eq!(probe(&step, &machine), Probe::Done, "what is there is the new one's");
}

/// Behind the removal on another host it would be too late.
#[test]
fn data_that_is_no_folder_is_refused_before_anything_of_the_member_goes() {
    for link in ["var/lib/etcd", "var/lib/etcd/member"] {
        let (machine, step) = (Machine::new(), aside());
        machine.put("/etc/kubernetes/manifests/etcd.yaml", "etcd");
        machine.put("/srv/etcd/snap/db", "data");
        let place = machine.path().join(link);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/srv/etcd", place).unwrap();
        let Probe::Foreign { found } = probe(&step, &machine) else { panic!("{link} is a link") };
        assert_eq!(found, format!("/{link} is no folder"));
        apply(&step, &machine).unwrap_err();
        assert!(machine.path().join("etc/kubernetes/manifests/etcd.yaml").exists());
    }
}

/// kubeadm that is cut off behind its manifest, while the new member has no vote, was not through: that it was through before says nothing.
#[test]
fn that_the_old_member_had_come_is_forgotten_before_anything_of_it_goes() {
    let machine = Machine::new();
    let mark = "/var/lib/sealock/node/phases/join-etcd-join";
    machine.put(mark, "sha256:before");
    machine.put("/etc/kubernetes/manifests/etcd.yaml", "etcd");
    machine.put("/var/lib/etcd/member/snap/db", "damaged");
    machine.put("/run/no-containerd", "");
    apply(&aside(), &machine).unwrap_err();
    let is_there = |path: &str| machine.path().join(&path[1..]).exists();
    assert!(!is_there(mark) && !is_there("/etc/kubernetes/manifests/etcd.yaml"));
    assert!(is_there("/var/lib/etcd/member/snap/db"), "nobody has said that etcd has ended");
}

/// kubelet waits for minutes before it starts once more what has ended again and again, unless it has just been started itself.
#[test]
fn an_api_server_that_kubelet_holds_back_is_not_waited_for() {
    let machine = Machine::new();
    machine.put("/etc/systemd/system/kubelet.service", "");
    let step = Step::new("api-server", ApiServerBack { timeout_seconds: 1 });
    let late = apply(&step, &machine).unwrap_err();
    assert!(late.to_string().contains("the API server does not serve"), "{late}");
    assert!(machine.is_active("kubelet.service"), "it was started anew");
    machine.serve();
    assert_eq!(probe(&step, &machine), Probe::Done);
}
