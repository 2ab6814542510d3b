//! When a node counts as Ready, with its control plane.

use sealock_node::step::NodeReady;
use sealock_node::{Probe, Step};
use serde_json::{Value, json};

use crate::machine::{Machine, probe};

fn ready() -> Step {
    let node = "cp3".to_owned();
    let (version, containerd) = (None, None);
    Step::new("ready", NodeReady { node, control_plane: true, version, containerd, lately: false, timeout_seconds: 1 })
}

fn conditions() -> Value {
    json!({"conditions": [{"type": "Ready", "status": "True"}]})
}

/// Of a control plane that was told of by the node with this uid.
fn pods(uid: &str) -> Value {
    let pod = |component: &&str| {
        let metadata = json!({
            "name": format!("{component}-cp3"), "labels": {"component": component},
            "ownerReferences": [{"kind": "Node", "name": "cp3", "uid": uid}],
        });
        json!({"metadata": metadata, "status": conditions()})
    };
    let components = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    json!({"items": components.iter().map(pod).collect::<Vec<_>>()})
}

#[test]
fn pods_of_an_earlier_node_of_this_name_say_nothing_of_this_one() {
    let machine = Machine::new();
    let node = json!({"metadata": {"uid": "second"}, "status": conditions()});
    machine.put("/run/api/node/cp3.json", &node.to_string());
    let tell = |uid| machine.put("/run/api/pods/kube-system.json", &pods(uid).to_string());
    tell("first");
    let Probe::NotDone { because } = probe(&ready(), &machine) else { panic!("the earlier one's pods were Ready") };
    assert_eq!(because, "etcd on cp3 has not reported yet");
    tell("second");
    assert_eq!(probe(&ready(), &machine), Probe::Done);
}
