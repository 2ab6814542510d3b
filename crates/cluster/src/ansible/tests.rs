use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::spec::{Cluster, Pin};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv";

/// As ansible-inventory 2.19 prints it for an INI file with groups of groups, variables of a group and of a host.
fn inventory() -> Value {
    json!({
        "_meta": {"profile": "inventory_legacy", "hostvars": {
            "bastion": {"ansible_connection": "local"},
            "cp1": {"ansible_host": "10.77.0.11", "ansible_user": "ops", "ntp_server": "10.77.0.2", "sealock_host_key": KEY},
            "w1": {"ansible_host": "10.77.0.21", "ansible_user": "ops", "ansible_port": 2222, "ansible_become": true,
                   "ansible_ssh_private_key_file": "~/.ssh/site", "sealock_labels": {"zone": "a"}},
            "w2": {"ansible_host": "10.77.0.22", "ansible_user": "ops", "sealock_pods": "10.244.9.0/24"},
        }},
        "all": {"children": ["ungrouped", "cluster", "other"]},
        "cluster": {"children": ["control", "workers"]},
        "control": {"hosts": ["cp1"]},
        "other": {"hosts": ["bastion"]},
        "workers": {"hosts": ["w1", "w2"]},
    })
}

fn wanted() -> Wanted {
    Wanted { control_planes: vec!["control".into()], workers: vec!["workers".into()], ..Wanted::default() }
}

fn read(inventory: &Value, wanted: &Wanted) -> Result<Found, AnsibleError> {
    find(&Listing::from_json(inventory.to_string().as_bytes())?, wanted)
}

/// Reads the inventory with one variable of `w1` changed, and answers what is said about it.
fn refused(variable: &str, value: &Value) -> String {
    let mut inventory = inventory();
    inventory["_meta"]["hostvars"]["w1"][variable] = value.clone();
    read(&inventory, &wanted()).unwrap_err().to_string()
}

fn hosts(found: Found) -> Vec<crate::spec::Host> {
    let pin: Pin = KEY.parse().unwrap();
    found.hosts.into_iter().map(|draft| draft.into_host(pin.clone())).collect()
}

fn spec(hosts: &[crate::spec::Host]) -> String {
    let head = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
                kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: 'api.plant:7443', localProxy: true}\n";
    format!("{head}{}", to_yaml(hosts).unwrap())
}

#[test]
fn groups_become_roles_and_variables_become_fields() {
    let found = read(&inventory(), &wanted()).unwrap();
    assert_eq!(found.hosts[0].host_key, Some(KEY.parse().unwrap()));
    assert_eq!(found.other_hosts, ["bastion".to_owned()].into());
    assert_eq!(found.other_variables, ["ansible_become".to_owned(), "ntp_server".to_owned()].into());
    insta::assert_snapshot!(to_yaml(&hosts(found)).unwrap(), @r"
      hosts:
      - name: cp1
        address: 10.77.0.11
        roles:
        - control-plane
        ssh:
          user: ops
          hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv
      - name: w1
        address: 10.77.0.21
        roles:
        - worker
        ssh:
          user: ops
          port: 2222
          hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv
          identityFile: ~/.ssh/site
        labels:
          zone: a
      - name: w2
        address: 10.77.0.22
        roles:
        - worker
        ssh:
          user: ops
          hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv
        pods: 10.244.9.0/24
    ");
}

#[test]
fn what_is_written_is_a_cluster_spec_with_the_same_hosts() {
    let hosts = hosts(read(&inventory(), &wanted()).unwrap());
    let cluster = Cluster::load(std::path::Path::new("cluster.yaml"), &spec(&hosts)).unwrap();
    assert_eq!(cluster.hosts(), hosts);
}

#[test]
fn a_host_of_two_groups_has_both_roles_and_stands_once() {
    let both = Wanted { workers: vec!["cluster".into()], ..wanted() };
    let found = hosts(read(&inventory(), &both).unwrap());
    assert_eq!(found[0].roles, [Role::ControlPlane, Role::Worker]);
    assert_eq!(found.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["cp1", "w1", "w2"]);
}

#[test]
fn whatever_says_how_a_host_is_reached_is_carried_over_or_refused_by_name() {
    for (variable, value, said) in [
        ("ansible_connection", json!("winrm"), "w1: ansible_connection: \"winrm\": Sealock knows ssh alone"),
        ("ansible_become_method", json!("su"), "Sealock knows sudo alone"),
        ("ansible_become_user", json!("admin"), "Sealock knows root alone"),
        ("ansible_ssh_common_args", json!("-J bastion"), "ansible_ssh_common_args: a cluster spec has nothing like it"),
        ("ansible_host", json!("w1.plant.internal"), "\"w1.plant.internal\" is not the host's IPv4 address"),
        ("ansible_host", json!("{{ management }}"), "ansible_host is a template"),
        ("ansible_user", json!({"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256"}), "ansible_user is encrypted"),
        ("ansible_port", json!(70000), "ansible_port: \"70000\": "),
        ("sealock_host_key", json!("MD5:00"), "sealock_host_key: \"MD5:00\": not a host key"),
        ("sealock_labels", json!({"rack": "{{ rack }}"}), "sealock_labels: is a template"),
        ("sealock_role", json!("worker"), "sealock_role: is not known; known are sealock_address"),
        ("ansible_host", json!("10.77.0.11"), "10.77.0.11 is the address of cp1 already"),
    ] {
        let text = refused(variable, &value);
        assert!(text.contains(said), "{variable}: {text}");
    }
}

#[test]
fn a_password_is_refused_and_shown_nowhere() {
    for variable in known::SECRET {
        let text = refused(variable, &json!("hunter2"));
        assert!(text.contains(variable) && text.contains("carries no secret over"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn what_is_left_out_by_name_stands_in_nobodys_way() {
    let mut inventory = inventory();
    inventory["_meta"]["hostvars"]["w1"]["ansible_become_password"] = json!("hunter2");
    let leave_out = ["ansible_become_password".to_owned()].into();
    let found = read(&inventory, &Wanted { leave_out, ..wanted() }).unwrap();
    assert!(found.other_variables.contains("ansible_become_password"));
    assert!(!spec(&hosts(found)).contains("hunter2"));
}

#[test]
fn every_problem_is_told_at_once() {
    let mut inventory = inventory();
    for host in ["w1", "w2"] {
        inventory["_meta"]["hostvars"][host]["ansible_host"] = json!("nowhere");
        inventory["_meta"]["hostvars"][host]["ansible_user"] = Value::Null;
    }
    let text = read(&inventory, &wanted()).unwrap_err().to_string();
    assert_eq!(text.lines().filter(|line| line.starts_with("w1: ") || line.starts_with("w2: ")).count(), 4, "{text}");
}

#[test]
fn long_names_are_shortened_on_request_only() {
    let text = inventory().to_string().replace("\"w1\"", "\"w1.plant.internal\"");
    let listing = Listing::from_json(text.as_bytes()).unwrap();
    let refused = find(&listing, &wanted()).unwrap_err().to_string();
    assert!(refused.contains("`--short-names`"), "{refused}");
    let found = find(&listing, &Wanted { short_names: true, ..wanted() }).unwrap();
    assert_eq!(found.hosts[1].name.as_str(), "w1");
    assert_eq!(found.hosts[1].origin, "w1.plant.internal");
}

#[test]
fn a_group_that_is_not_there_is_answered_with_those_that_are() {
    let masters = Wanted { control_planes: vec!["masters".into()], ..wanted() };
    let text = read(&inventory(), &masters).unwrap_err().to_string();
    assert_eq!(text, "the Ansible inventory has no group masters; it has all, cluster, control, other, workers");
}

#[test]
fn what_is_no_listing_is_named() {
    for (text, code) in [("[all]\nw1\n", "FORMAT"), ("{\"all\": {}}", "FORMAT"), ("[]", "FORMAT")] {
        assert_eq!(Listing::from_json(text.as_bytes()).unwrap_err().code().as_str(), code, "{text}");
    }
    let mut exported = inventory();
    exported["cluster"]["vars"] = json!({"ansible_user": "ops"});
    let error = read(&exported, &wanted()).unwrap_err();
    assert!(error.to_string().contains("`--export`"), "{error}");
}

#[test]
fn a_circle_of_groups_ends() {
    let mut inventory = inventory();
    inventory["workers"]["children"] = json!(["cluster"]);
    assert_eq!(read(&inventory, &wanted()).unwrap().hosts.len(), 3);
}

#[test]
fn more_hosts_than_any_cluster_has_are_refused() {
    let hosts: serde_json::Map<String, Value> = (0..5_001).map(|n| (format!("w{n}"), json!({}))).collect();
    let error = Listing::from_json(json!({"_meta": {"hostvars": hosts}}).to_string().as_bytes()).unwrap_err();
    assert_eq!(error.code().as_str(), "LIMIT");
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        "[a-z0-9.:{}$-]{0,12}".prop_map(Value::from),
        Just(json!("10.77.0.21")),
        Just(json!({"__ansible_vault": "x"})),
    ]
}

fn variable() -> impl Strategy<Value = String> {
    let known = known::SECRET.iter().chain(known::OURS).chain(known::OF_ANSIBLE_ALONE);
    let known: Vec<&str> = known.copied().chain(["ansible_host", "ansible_user", "ansible_port"]).collect();
    prop_oneof![proptest::sample::select(known).prop_map(str::to_owned), "[a-z_]{1,12}"]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Listing::from_json(&bytes);
    }

    #[test]
    fn whatever_hosts_come_out_are_those_of_a_spec(
        variables in proptest::collection::btree_map(variable(), value(), 0..6),
        leave_out in proptest::collection::btree_set(variable(), 0..3),
    ) {
        let mut inventory = inventory();
        for (name, value) in variables {
            inventory["_meta"]["hostvars"]["w2"][name] = value;
        }
        if let Ok(found) = read(&inventory, &Wanted { leave_out, ..wanted() }) {
            let hosts = hosts(found);
            let cluster = Cluster::load(std::path::Path::new("cluster.yaml"), &spec(&hosts));
            if let Ok(cluster) = cluster {
                prop_assert_eq!(cluster.hosts(), hosts);
            }
        }
    }
}
