//! `sealock etcd remove`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

/// It was cut off between the removal and the alarm, which keeps all others from writing.
#[test]
fn an_alarm_that_a_removed_member_left_is_shown_and_taken_back_by_its_id() {
    let Some(programs) = programs() else { return };
    let mut machine = Machine::new(&programs, &Network::new(), 1);
    machine.begin();
    machine.alarm(0x8e);
    let output = machine.run(&["status", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["well"], false);
    assert_eq!(status["strayAlarms"], serde_json::json!([{"member": "8e", "kind": "corrupt"}]));
    let shown = machine.must_not(1, &["status"]);
    assert!(shown.contains("the cluster is not well"), "{shown}");
    let nobody = machine.must_not(3, &["remove", "8f", "--yes"]);
    assert!(nobody.contains("no member 8f"), "{nobody}");
    machine.must(&["remove", "8e", "--dry-run"]);
    assert_eq!(machine.run(&["remove", "8e"]).status.code(), Some(2), "nobody was asked");
    let outcome = machine.json(&["remove", "8e", "--yes"]);
    assert_eq!(outcome["left"]["members"].as_array().map(Vec::len), Some(1), "{outcome}");
    machine.await_status("it is well", |status| status["well"] == true && status.get("strayAlarms").is_none());
    machine.etcdctl(&["put", "k", "it writes again"]);
}

#[test]
fn a_dead_member_is_removed_and_one_that_is_needed_is_not() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut machines: Vec<Machine> = (1..=3).map(|number| Machine::new(&programs, &network, number)).collect();
    machines[0].begin();
    for number in [1, 2] {
        let (first, rest) = machines.split_at_mut(1);
        rest[number - 1].join(&first[0]);
    }
    let one = &machines[0];
    one.await_status("three voters", |status| status["well"] == true);
    machines[2].kill();
    let one = &machines[0];
    one.await_status("one is down", |status| {
        let problems =
            status["states"].as_array().map(|states| states.iter().filter(|one| !one["problem"].is_null()).count());
        problems == Some(1) && status["agreed"] == true
    });
    let refused = one.must_not(3, &["remove", "m2", "--yes"]);
    assert!(
        refused.contains("error[QUORUM]") && refused.contains("1 of 2 voters would be up, and 2 are needed"),
        "{refused}"
    );
    let nobody = one.must_not(3, &["remove", "m7", "--yes"]);
    assert!(nobody.contains("no member m7"), "{nobody}");
    one.must(&["remove", "m3", "--dry-run"]);
    assert_eq!(one.run(&["remove", "m3"]).status.code(), Some(2), "nobody was asked");
    let outcome = one.json(&["remove", "m3", "--yes"]);
    assert_eq!(outcome["removed"]["name"], "m3");
    assert_eq!(outcome["left"]["members"].as_array().map(Vec::len), Some(2));
    one.await_status("two are well", |status| status["well"] == true);

    // Its machine comes back with the data of a member that is no more.
    let args = machines[2].joining(&machines[0]);
    let join: Vec<&str> = args.iter().map(String::as_str).collect();
    let refused = machines[2].must_not(3, &join);
    assert!(refused.contains("does not list") && refused.contains("--set-data-aside"), "{refused}");
    std::fs::remove_file(machines[2].at("/etc/etcd/etcd.yaml")).expect("a file");
    machines[2].supervise();
    machines[2].must(&[&join[..], &["--set-data-aside"]].concat());
    machines[0].await_status("three voters again", |status| {
        status["well"] == true && status["members"].as_array().map(Vec::len) == Some(3)
    });
}
