//! `sealock gap`

use crate::cluster;
use crate::sandbox::Sandbox;

#[test]
fn a_dry_run_names_the_hosts() {
    insta::assert_snapshot!(cluster::station().see(&["gap", "check", "--dry-run"]));
}

#[test]
fn away_from_a_station_nothing_is_checked() {
    let sandbox = Sandbox::new();
    sandbox.write("cluster.yaml", "");
    assert_ne!(sandbox.run(&["gap", "check"]).status.code(), Some(0));
}
