//! `sealock cluster`

use crate::sandbox::{Sandbox, steady};
use crate::site;

const SPEC: &str = r#"apiVersion: sealock/v1alpha1
kind: Cluster
metadata: {name: plant-7}
spec:
  site: plant-7
  kubernetes: {version: v1.36.3}
  controlPlane: {endpoint: "127.0.0.1:6443"}
  network: {pods: 10.244.0.0/16, services: 10.96.0.0/12, cni: routed, proxy: nftables}
  hosts:
    - name: cp1
      address: 127.0.0.1
      roles: [control-plane]
      ssh: {user: ops, hostKey: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
"#;

/// A station with a cluster spec beside it, but no release.
pub fn station() -> Sandbox {
    let sandbox = Sandbox::new();
    site::spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    sandbox.write("cluster.yaml", SPEC);
    sandbox
}

#[test]
fn away_from_a_station_nothing_is_planned() {
    let sandbox = Sandbox::new();
    sandbox.write("cluster.yaml", SPEC);
    insta::assert_snapshot!(sandbox.see(&["cluster", "plan"]));
}

#[test]
fn without_a_release_nothing_is_planned() {
    insta::assert_snapshot!(station().see(&["cluster", "plan"]));
}

#[test]
fn an_unknown_field_is_refused_with_place_and_nearest_name() {
    let sandbox = station();
    sandbox.write("cluster.yaml", SPEC.replace("controlPlane:", "controlPlain:"));
    insta::assert_snapshot!(sandbox.see(&["cluster", "plan"]));
}

#[test]
fn a_host_key_that_is_none_is_refused_with_its_place() {
    let sandbox = station();
    sandbox.write("cluster.yaml", SPEC.replace("SHA256:", "MD5:"));
    insta::assert_snapshot!(sandbox.see(&["cluster", "apply", "--yes"]));
}

#[test]
fn a_missing_spec_is_named() {
    let _steady = steady();
    insta::assert_snapshot!(Sandbox::new().see(&["cluster", "plan"]));
}

#[test]
fn before_the_first_apply_there_is_no_kubeconfig() {
    insta::assert_snapshot!(station().see(&["cluster", "kubeconfig"]));
}

#[test]
fn a_node_that_the_spec_does_not_have_is_named_with_those_it_has() {
    for verb in ["cordon", "uncordon", "drain"] {
        insta::assert_snapshot!(format!("{verb}_of_a_stranger"), station().see(&["cluster", verb, "w9"]));
    }
}

#[test]
fn without_a_release_no_node_is_drained() {
    insta::assert_snapshot!(station().see(&["cluster", "drain", "cp1"]));
}
