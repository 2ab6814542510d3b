//! `sealock etcd move-leader`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};

#[test]
fn the_leader_moves_and_where_there_is_nobody_else_it_says_so() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut one = Machine::new(&programs, &network, 1);
    let mut two = Machine::new(&programs, &network, 2);
    one.begin();
    assert!(one.must_not(3, &["move-leader"]).contains("no member that could lead"));
    two.join(&one);
    one.await_status("two voters", |status| status["well"] == true);
    assert_eq!(one.json(&["move-leader", "m2"])["name"], "m2");
    assert!(one.must(&["move-leader", "m2"]).contains("nothing to do"));
    assert_eq!(one.json(&["move-leader"])["name"], "m1");
}
