//! A node that is kept before an upgrade, and becomes again what it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use sealock_node::step::{Kept, TakenBack, Unit};
use sealock_node::{Probe, Step, StepError};
use sealock_trust::Digest;

use crate::machine::{Machine, apply, probe};

const SINCE: &str = "v1.36.3 of release 1";
const MARKS: &str = "/var/lib/sealock/node/phases";
const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";

fn kept() -> Step {
    Step::new("kept", Kept { since: SINCE.into() })
}

fn taken_back() -> Step {
    Step::new("back", TakenBack { since: SINCE.into() })
}

fn unit(name: &str, version: &str) -> Step {
    let unit = Unit {
        name: name.into(),
        content: format!("[Service]\n# {version}\n"),
        drop_ins: BTreeMap::new(),
        running: true,
        restart_on: vec!["/usr/bin/kubelet".into(), CONTAINERD_CONFIG.into()],
        replaces: BTreeMap::new(),
    };
    Step::new(format!("{name}/unit"), unit)
}

/// Makes the node what `version` makes of it, as an upgrade does, and leaves programs of other versions in their folders.
fn become_it(machine: &Machine, version: &str) {
    let place = format!("/opt/sealock/kubelet/{version}");
    machine.put(&format!("{place}/kubelet"), version);
    let files = BTreeMap::from([("kubelet", Digest::sha256(version.as_bytes()))]);
    let record = serde_json::json!({"artifact": Digest::sha256(b"artifact"), "files": files});
    machine.put(&format!("{place}/.component.json"), &record.to_string());
    let link = machine.path().join("usr/bin/kubelet");
    let _ = fs::remove_file(&link);
    symlink(format!("{place}/kubelet"), link).unwrap();
    machine.put(CONTAINERD_CONFIG, version);
    machine.put("/var/lib/kubelet/config.yaml", version);
    machine.put(&format!("{MARKS}/join-preflight"), version);
    for name in ["containerd.service", "kubelet.service"] {
        apply(&unit(name, version), machine).unwrap();
    }
}

fn node() -> Machine {
    let machine = Machine::new();
    let link = serde_json::json!({"subject": "link", "path": "/usr/bin/kubelet", "was": {"before": "absent"}});
    let changes = serde_json::json!({"format": "node-changes/1.0", "changes": [link]});
    machine.put("/var/lib/sealock/node/backup/changes.json", &changes.to_string());
    become_it(&machine, "v1.36.3");
    machine
}

/// What kubeadm and Sealock add to a node on the way to another version, beside what they change.
fn upgrade(machine: &Machine) {
    become_it(machine, "v1.37.2");
    machine.put(&format!("{MARKS}/upgrade-node-preflight"), "v1.37.2");
    machine.put("/var/lib/kubelet/instance-config.yaml", "v1.37.2");
}

/// Everything but the folders of programs, which stay.
fn tree(machine: &Machine) -> BTreeMap<String, String> {
    let mut tree = machine.tree();
    tree.retain(|path, _| !path.starts_with("opt/"));
    tree
}

fn is_as_before(machine: &Machine, before: &BTreeMap<String, String>) {
    assert_eq!(tree(machine), *before);
    assert_eq!(machine.text(&format!("{MARKS}/join-preflight")), "v1.36.3");
    let marks = fs::read_dir(machine.path().join(&MARKS[1..])).unwrap().count();
    assert_eq!(marks, 1, "an upgrade that is begun once more does all of its phases");
    assert_eq!(
        probe(&unit("kubelet.service", "v1.36.3"), machine),
        Probe::Done,
        "it runs with what it was put back to"
    );
    assert_eq!(machine.started_with("containerd.service"), "v1.36.3", "what runs is what is written");
    assert_eq!(probe(&unit("containerd.service", "v1.36.3"), machine), Probe::Done);
    assert_eq!(probe(&taken_back(), machine), Probe::Done);
    assert!(matches!(probe(&kept(), machine), Probe::NotDone { .. }), "the next upgrade keeps it anew");
}

#[test]
fn a_node_becomes_again_what_it_was() {
    let machine = node();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(machine.path().join("var/lib/kubelet/config.yaml"), mode).unwrap();
    let before = tree(&machine);
    assert_eq!(probe(&taken_back(), &machine), Probe::Done, "nothing was begun");
    apply(&kept(), &machine).unwrap();
    upgrade(&machine);
    assert!(matches!(probe(&taken_back(), &machine), Probe::NotDone { .. }));
    machine.calls();
    apply(&taken_back(), &machine).unwrap();
    let calls = machine.calls();
    let starts: Vec<_> = calls.iter().filter(|call| call.contains("restart")).collect();
    assert_eq!(starts, ["systemctl restart containerd.service", "systemctl restart kubelet.service"]);
    is_as_before(&machine, &before);
}

const MANIFESTS: &str = "/etc/kubernetes/manifests";

fn static_pods(machine: &Machine, version: &str) {
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        machine.put(
            &format!("{MANIFESTS}/{name}.yaml"),
            &format!("spec:\n  containers:\n  - name: {name}\n    image: {name}:{version}\n"),
        );
    }
}

/// A control plane that keeps what it was and has become another one since; and what it was.
fn upgraded_plane() -> (Machine, BTreeMap<String, String>) {
    let machine = node();
    machine.serve();
    static_pods(&machine, "v1.36.3");
    let before = tree(&machine);
    apply(&kept(), &machine).unwrap();
    upgrade(&machine);
    static_pods(&machine, "v1.37.2");
    (machine, before)
}

/// A kubelet that is started anew while it stops etcd and the API server waits for that API server.
#[test]
fn static_pods_run_before_kubelet_becomes_another_one() {
    let (machine, before) = upgraded_plane();
    machine.calls();
    apply(&taken_back(), &machine).unwrap();
    let calls = machine.calls();
    let first = |what: &str| calls.iter().position(|call| call.contains(what)).unwrap();
    let (etcd, api) = (first("containers info etcd"), first("containers info kube-apiserver"));
    let (ready, scheduler) = (first("/readyz"), first("containers info kube-scheduler"));
    let kubelet = first("restart kubelet.service");
    assert!(etcd < api && api < ready && ready < scheduler && scheduler < kubelet, "{calls:#?}");
    is_as_before(&machine, &before);
}

/// An upgrade that is begun once more finds a node that is something in between.
#[test]
fn what_is_kept_is_not_kept_anew() {
    let machine = node();
    let before = tree(&machine);
    apply(&kept(), &machine).unwrap();
    upgrade(&machine);
    assert_eq!(probe(&kept(), &machine), Probe::Done);
    apply(&kept(), &machine).unwrap();
    apply(&taken_back(), &machine).unwrap();
    is_as_before(&machine, &before);
    let later = Step::new("kept", Kept { since: "v1.37.2 of release 2".into() });
    apply(&later, &machine).unwrap();
    assert_eq!(probe(&taken_back(), &machine), Probe::Done, "what was kept for another upgrade is not put back");
}

#[test]
fn cut_off_anywhere_the_same_again_goes_on() {
    let (machine, before) = upgraded_plane();
    let mut attempts = 0;
    while probe(&taken_back(), &machine) != Probe::Done {
        // Each attempt comes one change further than the one before it.
        machine.fail_after(attempts);
        let _ = apply(&taken_back(), &machine);
        machine.heal();
        attempts += 1;
        assert!(attempts < 100, "it does not come to an end");
    }
    assert!(attempts > 5, "it was cut off {attempts} times only");
    is_as_before(&machine, &before);
}

/// Nothing runs whose digest does not hold, not on the way back either.
#[test]
fn a_program_of_before_that_was_damaged_is_not_gone_back_to() {
    let machine = node();
    apply(&kept(), &machine).unwrap();
    upgrade(&machine);
    let upgraded = tree(&machine);
    machine.put("/opt/sealock/kubelet/v1.36.3/kubelet", "v1.36.3, and something else");
    let error = apply(&taken_back(), &machine).unwrap_err();
    assert!(matches!(error, StepError::Unknown { .. }), "{error}");
    assert!(error.to_string().contains("/opt/sealock/kubelet/v1.36.3/kubelet is missing or damaged"), "{error}");
    assert_eq!(tree(&machine), upgraded, "nothing was put back");
}
