//! `sealock etcd reset`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

#[test]
fn a_member_goes_confirmed_by_another_and_its_data_stays_aside() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    let mut two = Machine::new(&programs, &network, 2);
    one.begin();
    two.join(&one);
    one.await_status("two voters", |status| status["well"] == true);
    let shown = two.must(&["reset", "--dry-run"]);
    assert!(shown.contains("remove member") && shown.contains("move /var/lib/etcd aside"), "{shown}");

    two.must(&["reset", "--yes"]);
    two.kill();
    let status = one.await_status("one is left", |status| status["well"] == true);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(1));
    let left = two.list("/var/lib");
    assert!(left.iter().any(|name| name.starts_with("etcd.20")) && !left.contains(&"etcd".to_owned()), "{left:?}");
    assert!(two.list("/etc/etcd").iter().all(|name| name.starts_with("pki.20")), "{:?}", two.list("/etc/etcd"));
    assert_eq!(two.list("/usr/local/bin"), Vec::<String>::new());
    assert!(two.must_not(1, &["reset", "--yes"]).contains("there is no member"));

    // The last one: the cluster ends, and says so before.
    let shown = one.must(&["reset", "--dry-run"]);
    assert!(shown.contains("the cluster's only member"), "{shown}");
}

#[test]
fn a_cluster_that_does_not_answer_is_not_left_behind_unasked() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    one.begin();
    one.kill();
    let refused = one.must_not(4, &["reset", "--yes"]);
    assert!(refused.contains("no member answers") && refused.contains("--skip-remove-member"), "{refused}");
    assert!(one.at("/var/lib/etcd/member").exists());
    one.must(&["reset", "--yes", "--skip-remove-member"]);
    assert!(!one.at("/var/lib/etcd/member").exists());
}

#[test]
fn one_that_was_cut_off_when_everything_was_aside_is_finished() {
    let Some(programs) = programs() else { return };
    let mut one = Machine::new(&programs, &Network::new(), 1);
    one.begin();
    one.kill();
    for folder in ["/var/lib/etcd", "/etc/etcd/pki"] {
        std::fs::rename(one.at(folder), one.at(&format!("{folder}.2026-11-26T07-00-00Z"))).expect("a folder");
    }
    one.must(&["reset", "--yes"]);
    assert_eq!(one.list("/etc/etcd"), ["pki.2026-11-26T07-00-00Z"]);
    assert_eq!(one.list("/usr/local/bin"), Vec::<String>::new());
}
