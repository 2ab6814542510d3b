//! `sealock etcd join`

use std::fs;

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

#[test]
fn a_second_member_joins_without_a_vote_first_and_again_changes_nothing() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    let mut two = Machine::new(&programs, &network, 2);
    one.begin();
    one.etcdctl(&["put", "k", "v"]);
    let args = two.joining(&one);
    let join: Vec<&str> = args.iter().map(String::as_str).collect();

    let refused = two.must_not(1, &join);
    assert!(refused.contains("ca.crt is not there") && refused.contains("Copy `ca.crt` and `ca.key`"), "{refused}");
    assert_eq!(one.json(&["status"])["members"].as_array().map(Vec::len), Some(1), "the cluster was told nothing");

    two.bring_authority(&one);
    let shown = two.must(&[&join[..], &["--dry-run"]].concat());
    assert!(shown.contains("without a vote") && shown.contains("has caught up"), "{shown}");
    assert!(!two.at("/etc/etcd/pki/peer.crt").exists(), "a dry run");

    two.join(&one);
    assert_eq!(two.etcdctl(&["get", "k", "--print-value-only"]).trim(), "v");
    let status = one.await_status("two voters", |status| status["well"] == true);
    let learners = status["members"].as_array().expect("members").iter().filter(|one| one["learner"] == true).count();
    assert_eq!((status["members"].as_array().map(Vec::len), learners), (Some(2), 0));
    let again = two.json(&join);
    assert_eq!(again["changed"], 0, "{again}");
}

#[test]
fn data_that_the_cluster_does_not_know_is_not_taken_in() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    let two = Machine::new(&programs, &network, 2);
    one.begin();
    two.bring_authority(&one);
    fs::create_dir_all(two.at("/var/lib/etcd/member/snap")).expect("a folder");
    fs::write(two.at("/var/lib/etcd/member/snap/db"), "somebody's").expect("a file");
    let args = two.joining(&one);
    let join: Vec<&str> = args.iter().map(String::as_str).collect();
    let refused = two.must_not(3, &join);
    assert!(refused.contains("error[FOREIGN]") && refused.contains("--set-data-aside"), "{refused}");
    assert_eq!(fs::read_to_string(two.at("/var/lib/etcd/member/snap/db")).expect("the data"), "somebody's");
}
