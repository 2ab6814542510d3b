//! `sealock etcd status`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};
use crate::sandbox::Sandbox;

#[test]
fn each_member_is_shown_and_what_is_wrong_is_an_exit_code() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut machine = Machine::new(&programs, &network, 1);
    machine.begin();
    let text = machine.must(&["status", "--hash"]);
    assert!(text.contains("leader") && text.contains("serves") && text.contains("hold the same"), "{text}");
    let pki = |file: &str| machine.at("/etc/etcd/pki").join(file).display().to_string();
    let (ca, cert, key, endpoint) = (pki("ca.crt"), pki("client.crt"), pki("client.key"), machine.endpoint());
    let flags = ["etcd", "status", "--endpoint", &endpoint, "--cacert", &ca, "--cert", &cert, "--key", &key];
    let elsewhere = Sandbox::new();
    elsewhere.must(&flags);
    machine.kill();
    let output = elsewhere.run(&flags);
    assert_eq!(output.status.code(), Some(4), "{}", elsewhere.seen(&output));
}

#[test]
fn an_endpoint_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.see(&["etcd", "status", "--endpoint", "http://10.0.0.1"]));
}
