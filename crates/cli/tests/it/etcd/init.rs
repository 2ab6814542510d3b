//! `sealock etcd init`

use std::fs;

use sealock_testkit::etcd::programs;

use super::machine::{Machine, Network};
use crate::sandbox::{Sandbox, steady};

const POD: [&str; 9] = [
    "--name",
    "etcd-1",
    "--address",
    "10.77.0.11",
    "--run-by",
    "static-pod",
    "--image",
    "registry.k8s.io/etcd:3.6.8-0",
    "--yes",
];

#[test]
fn a_dry_run_shows_each_step_and_makes_nothing() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let (config, pki) = (sandbox.join("etc/etcd.yaml"), sandbox.join("pki"));
    let places = ["--etcd-config", config.to_str().expect("UTF-8"), "--certs-dir", pki.to_str().expect("UTF-8")];
    let args = [&["etcd", "init", "--dry-run"], &POD[..], &places].concat();
    insta::assert_snapshot!(sandbox.see(&args));
    assert!(!config.exists() && !pki.exists());
}

#[test]
fn what_it_lacks_is_said() {
    let sandbox = Sandbox::new();
    let address = ["etcd", "init", "--name", "m1", "--address", "10.77.0.11"];
    insta::assert_snapshot!("no_programs", sandbox.see(&address));
    let name =
        ["etcd", "init", "--name", "a name", "--address", "10.77.0.11", "--run-by", "static-pod", "--image", "i"];
    insta::assert_snapshot!("no_name", sandbox.see(&name));
    let binary = [&address[..], &["--binary", "nowhere"]].concat();
    assert_eq!(sandbox.run(&binary).status.code(), Some(1));
}

#[test]
fn it_begins_a_cluster_again_changes_nothing_and_gives_no_data_up() {
    let Some(programs) = programs() else { return };
    let network = Network::new();
    let mut machine = Machine::new(&programs, &network, 1);
    machine.begin();
    machine.etcdctl(&["put", "k", "v"]);
    let flags = machine.flags();
    let init: Vec<&str> = std::iter::once("init").chain(flags.iter().map(String::as_str)).collect();
    let again = machine.json(&init);
    assert_eq!(again["changed"], 0, "{again}");

    let mut other = init.clone();
    other[2] = "m9";
    let refused = machine.must_not(3, &other);
    assert!(refused.contains("error[FOREIGN]") && refused.contains("this machine runs member m1"), "{refused}");

    machine.kill();
    fs::remove_file(machine.at("/etc/etcd/etcd.yaml")).expect("a file");
    let refused = machine.must_not(3, &init);
    assert!(refused.contains("holds data") && refused.contains("--set-data-aside"), "{refused}");
    machine.supervise();
    machine.must(&[&init[..], &["--set-data-aside"]].concat());
    assert_eq!(machine.etcdctl(&["get", "k"]), "", "a new cluster");
    let asides: Vec<String> = machine.list("/var/lib").into_iter().filter(|name| name.starts_with("etcd.20")).collect();
    assert_eq!(asides.len(), 1, "the old data is there: {asides:?}");
    assert!(machine.at(&format!("/var/lib/{}/member/snap/db", asides[0])).exists());
}
