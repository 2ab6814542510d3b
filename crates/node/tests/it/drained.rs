//! A worker that empties itself, with no more rights than its own kubelet.

use std::fs;

use sealock_node::step::Drained;
use sealock_node::{Probe, Step, StepError};

use crate::machine::{Machine, apply, probe};

fn drained(force: bool) -> Step {
    let drained = Drained {
        node: "w1".into(),
        version: Some("v1.37.2".into()),
        force,
        delete_emptydir_data: false,
        timeout_seconds: 1,
    };
    Step::new("drain", drained)
}

/// Owner, mark of a file, phase, tolerations, namespace, name, uid, `emptyDir` volumes.
fn pod(owner: &str, name: &str, volumes: &str) -> String {
    format!("{owner}\t\tRunning\tnode.kubernetes.io/not-ready=Exists,\tdemo\t{name}\tuid-{name}\t{volumes}\n")
}

fn worker(pods: &str) -> Machine {
    let machine = Machine::new();
    machine.put("/etc/kubernetes/kubelet.conf", "kubelet's own");
    let node = serde_json::json!({
        "spec": {"unschedulable": true}, "status": {"nodeInfo": {"kubeletVersion": "v1.36.3"}},
    });
    machine.put("/run/api/node/w1.json", &node.to_string());
    machine.put("/run/api/pods.txt", pods);
    machine
}

#[test]
fn a_worker_empties_itself_as_budgets_allow() {
    let machine = worker(&[pod("DaemonSet", "kube-proxy", ""), pod("ReplicaSet", "web", "")].concat());
    machine.put("/run/api/budget", "one of one");
    assert_eq!(probe(&drained(false), &machine), Probe::not_done("1 pods are to leave w1"));
    let kept = apply(&drained(false), &machine).unwrap_err().to_string();
    assert!(kept.contains("node w1 is not empty after 1 s: demo/web: Cannot evict pod"), "{kept}");
    fs::remove_file(machine.path().join("run/api/budget")).unwrap();
    machine.calls();
    apply(&drained(false), &machine).unwrap();
    let calls = machine.calls();
    assert!(calls.iter().all(|call| call.contains("--kubeconfig /etc/kubernetes/kubelet.conf")), "{calls:#?}");
    assert!(calls.iter().any(|call| call.ends_with("cordon w1")), "{calls:#?}");
    assert!(machine.text("/run/api/pods.txt").starts_with("DaemonSet"), "what belongs to the node stays");
}

/// Nothing is evicted where something else would be lost.
#[test]
fn what_nothing_starts_anew_keeps_a_worker_from_being_emptied() {
    let pods = [pod("ReplicaSet", "web", ""), pod("", "alone", ""), pod("ReplicaSet", "cache", "scratch,")].concat();
    let machine = worker(&pods);
    let StepError::Held { pods: held, .. } = apply(&drained(false), &machine).unwrap_err() else { panic!("held") };
    assert_eq!(
        held,
        ["demo/alone: nothing starts it anew", "demo/cache: what is in its emptyDir scratch goes with it"]
    );
    assert_eq!(machine.text("/run/api/pods.txt"), pods);
    machine.put("/run/api/pods.txt", &pod("", "alone", ""));
    apply(&drained(true), &machine).unwrap();
}
