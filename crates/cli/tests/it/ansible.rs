//! `sealock cluster hosts --from-ansible`, and the collection's own tests.

use std::process::Command;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv";
const HOSTS: [&str; 6] =
    ["cluster", "hosts", "--control-plane=control", "--worker=workers", "--from-ansible", "hosts.json"];

/// As ansible-inventory 2.19 prints it.
fn listing() -> Value {
    json!({
        "_meta": {"profile": "inventory_legacy", "hostvars": {
            "bastion": {"ansible_connection": "local"},
            "cp1": {"ansible_host": "10.77.0.11", "ansible_user": "ops", "ntp_server": "10.77.0.2", "sealock_host_key": KEY},
            "w1": {"ansible_host": "10.77.0.21", "ansible_user": "ops", "ansible_port": 2222},
        }},
        "all": {"children": ["ungrouped", "control", "workers"]},
        "control": {"hosts": ["cp1"]},
        "ungrouped": {"hosts": ["bastion"]},
        "workers": {"hosts": ["w1"]},
    })
}

fn sandbox(listing: &Value) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("hosts.json", listing.to_string());
    sandbox.write("known_hosts", format!("[10.77.0.21]:2222 {KEY}\n"));
    sandbox
}

#[test]
fn an_inventory_becomes_the_hosts_of_a_spec() {
    let sandbox = sandbox(&listing());
    insta::assert_snapshot!(sandbox.see(&[&HOSTS[..], &["--known-hosts", "known_hosts"]].concat()));
}

#[test]
fn names_in_known_hosts_may_be_hashed() {
    let sandbox = sandbox(&listing());
    let hash = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(sandbox.join("known_hosts")).output();
    assert!(hash.expect("ssh-keygen, of openssh-client").status.success());
    assert!(sandbox.read("known_hosts").starts_with("|1|"));
    let hosts = sandbox.must(&[&HOSTS[..], &["--known-hosts", "known_hosts", "-o", "json"]].concat());
    let hosts: Value = serde_json::from_str(&hosts).unwrap();
    assert_eq!(hosts["hosts"][1]["ssh"]["hostKey"], KEY);
}

#[test]
fn a_host_whose_key_nobody_knows_is_refused() {
    insta::assert_snapshot!(sandbox(&listing()).see(&HOSTS));
}

#[test]
fn what_a_spec_cannot_say_is_refused_by_name_and_passwords_are_not_shown() {
    let mut listing = listing();
    listing["_meta"]["hostvars"]["cp1"]["ansible_become_password"] = json!("hunter2");
    listing["_meta"]["hostvars"]["w1"]["ansible_ssh_common_args"] = json!("-J hunter2");
    insta::assert_snapshot!(sandbox(&listing).see(&HOSTS));
}

#[test]
fn where_ansible_is_not_at_hand_it_says_what_to_do() {
    let sandbox = sandbox(&listing());
    sandbox.write("hosts.ini", "[control]\ncp1\n");
    let args = [&HOSTS[..5], &["hosts.ini"]].concat();
    let output = sandbox.command(&args).env("PATH", sandbox.join("home")).output().unwrap();
    insta::assert_snapshot!(sandbox.seen(&output));
}

#[test]
fn the_collection_reads_what_sealock_says_of_a_failure() {
    let collection = concat!(env!("CARGO_MANIFEST_DIR"), "/../../integrations/ansible");
    let mut tests = Command::new("python3");
    tests.args(["-B", "-m", "unittest", "discover", "tests/unit"]).current_dir(collection);
    let output = tests.output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
