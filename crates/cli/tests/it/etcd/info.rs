//! `sealock etcd info`

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};
use crate::sandbox::Sandbox;

#[test]
fn without_a_member_it_says_how_there_comes_to_be_one() {
    let sandbox = Sandbox::new();
    let config = sandbox.join("etcd.yaml");
    let args = ["etcd", "info", "--etcd-config", config.to_str().expect("UTF-8")];
    insta::assert_snapshot!(sandbox.see(&args));
    sandbox.write("etcd.yaml", "name: [");
    assert_eq!(sandbox.run(&args).status.code(), Some(3));
}

#[test]
fn certificates_are_shown_with_serial_and_end() {
    let Some(programs) = programs() else { return };
    let mut machine = Machine::new(&programs, &Network::new(), 1);
    machine.begin();
    let info = machine.json(&["info"]);
    assert_eq!((info["name"].as_str(), info["runBy"].as_str()), (Some("m1"), Some("other")));
    let certificates = info["certificates"].as_array().expect("a list");
    let files: Vec<_> = certificates.iter().filter_map(|one| one["file"].as_str()).collect();
    assert_eq!(files, ["ca.crt", "server.crt", "peer.crt", "client.crt", "apiserver-etcd-client.crt"]);
    for one in certificates {
        assert!(one["serial"].as_str().is_some_and(|serial| serial.contains(':')), "{one}");
        assert!(one["daysLeft"].as_i64().is_some_and(|days| days > 300), "{one}");
    }
    let text = machine.must(&["info"]);
    assert!(text.contains("SERIAL") && text.contains("DAYS LEFT"), "{text}");
}
