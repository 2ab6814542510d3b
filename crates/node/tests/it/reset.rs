//! Reset gives the host back.

use std::collections::BTreeMap;

use sealock_node::step::{Claim, File, HostsEntry, Mode, Reset, SetAside, Sysctl, Unit};
use sealock_node::{Probe, Step};
use sealock_trust::Digest;

use crate::machine::{Machine, apply, probe};

fn steps() -> Vec<Step> {
    let unit = Unit {
        name: "containerd.service".into(),
        content: "[Service]\n".into(),
        drop_ins: BTreeMap::new(),
        running: true,
        restart_on: vec!["/etc/containerd".into()],
    };
    let replaces = Some(Digest::sha256(b"the owner's"));
    let file = |path: &str, replaces| File { path: path.into(), content: "ours".into(), mode: Mode::FILE, replaces };
    vec![
        Step::new("claim", Claim { cluster: "plant-7".into() }),
        Step::new("sysctl", Sysctl { settings: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]) }),
        Step::new("hosts", HostsEntry { address: "10.77.0.2".into(), names: vec!["registry.lab".into()] }),
        Step::new("config", file("/etc/containerd/config.toml", None)),
        Step::new("owners", file("/etc/owners.conf", replaces)),
        Step::new("unit", unit),
    ]
}

fn fresh() -> Machine {
    let machine = Machine::new();
    machine.put("/etc/owners.conf", "the owner's");
    machine
}

fn reset() -> Step {
    Step::new("reset", Reset { cluster: "plant-7".into(), etcd_aside: None })
}

#[test]
fn a_reset_returns_the_host_to_what_it_was_and_can_be_repeated() {
    let machine = fresh();
    let hierarchies = ["memory", "unified"].map(|name| machine.path().join("sys/fs/cgroup").join(name));
    hierarchies.iter().for_each(|hierarchy| std::fs::create_dir_all(hierarchy).unwrap());
    let before = machine.tree();
    for step in steps() {
        apply(&step, &machine).unwrap();
    }
    // What runs in the cluster writes here, and nobody records it.
    machine.put("/etc/kubernetes/pki/ca.key", "secret");
    machine.put("/var/lib/kubelet/pods/1/file", "data");
    for group in ["memory/kubepods/burstable/pod1", "unified/kubepods", "kubepods/besteffort"] {
        std::fs::create_dir_all(machine.path().join("sys/fs/cgroup").join(group)).unwrap();
    }
    // What an upgrade has kept of the node must not be put back onto the next one.
    let kept = ["kept.json", "kept-objects.json"].map(|name| format!("/var/lib/sealock/node/{name}"));
    kept.iter().for_each(|path| machine.put(path, "{}"));
    apply(&reset(), &machine).unwrap();
    assert_eq!(machine.tree(), before);
    assert!(kept.iter().all(|path| !machine.path().join(&path[1..]).exists()));
    assert!(!machine.is_active("containerd.service"));
    apply(&reset(), &machine).unwrap();
    assert_eq!(machine.tree(), before);
}

#[test]
fn apply_and_reset_cut_off_at_any_change_are_finished_by_repeating_them() {
    let reference = fresh();
    let before = reference.tree();
    for step in steps() {
        apply(&step, &reference).unwrap();
    }
    let applied = reference.tree();
    let attempt = |machine: &Machine| steps().iter().chain([&reset()]).try_for_each(|step| apply(step, machine));
    let mut cuts = 0;
    loop {
        let machine = fresh();
        machine.fail_after(cuts);
        let through = attempt(&machine).is_ok();
        machine.heal();
        if through {
            break;
        }
        cuts += 1;
        // Until the reset has begun, going on leads to the same as never having been cut off.
        if probe(&steps()[0], &machine) == Probe::Done && machine.tree().len() > before.len() + 4 {
            let resumed = steps().iter().try_for_each(|step| apply(step, &machine));
            resumed.unwrap_or_else(|error| panic!("after {cuts} changes: {error}"));
            assert_eq!(machine.tree(), applied, "after {cuts} changes");
        }
        apply(&reset(), &machine).unwrap_or_else(|error| panic!("reset after {cuts} changes: {error}"));
        assert_eq!(machine.tree(), before, "reset after {cuts} changes");
    }
    assert!(cuts > 40, "the cuts reached into the reset ({cuts})");
}

#[test]
fn another_clusters_host_is_foreign() {
    let machine = Machine::new();
    apply(&Step::new("claim", Claim { cluster: "plant-8".into() }), &machine).unwrap();
    assert!(matches!(probe(&reset(), &machine), Probe::Foreign { .. }));
    assert!(matches!(probe(&steps()[0], &machine), Probe::Foreign { .. }));
    assert!(apply(&reset(), &machine).is_err());
}

#[test]
fn a_host_with_a_kubernetes_of_someone_else_is_foreign() {
    for evidence in
        ["/etc/kubernetes/kubelet.conf", "/var/lib/rancher/k3s/token", "/etc/systemd/system/kubelet.service"]
    {
        let machine = Machine::new();
        machine.put(evidence, "theirs");
        let before = machine.tree();
        let Probe::Foreign { found } = probe(&steps()[0], &machine) else { panic!("{evidence}") };
        assert!(found.contains(evidence.rsplit_once("/k3s").map_or(evidence, |(start, _)| start)), "{found}");
        assert!(apply(&steps()[0], &machine).is_err());
        assert_eq!(machine.tree(), before);
    }
}

/// A rotation of the authorities that is under way keeps the keys of those that issue on the machine.
#[test]
fn attack_no_key_of_a_living_authority_stays_on_a_machine_that_is_given_back() {
    let machine = fresh();
    let before = machine.tree();
    for step in steps() {
        apply(&step, &machine).unwrap();
    }
    machine.put("/var/lib/sealock/node/authorities/ca.key", "of the one that issues");
    machine.put("/var/lib/sealock/node/authorities.json", "{}");
    apply(&reset(), &machine).unwrap();
    assert_eq!(machine.tree(), before);
}

/// kubeadm would remove the member and then delete its data.
#[test]
fn where_etcd_is_not_asked_its_data_stays_aside() {
    let machine = fresh();
    let mut expected = machine.tree();
    for step in steps() {
        apply(&step, &machine).unwrap();
    }
    machine.put("/var/lib/etcd/member/wal/0.wal", "what the cluster knows");
    let (content, folder) = (Digest::sha256(b"what the cluster knows"), "755 folder".to_owned());
    let name = "etcd.2026-11-27T09-00-00Z";
    for part in ["", "/member", "/member/wal"] {
        expected.insert(format!("var/lib/{name}{part}"), folder.clone());
    }
    expected.insert(format!("var/lib/{name}/member/wal/0.wal"), format!("644 {content}"));
    machine.calls();
    let aside = SetAside { path: "/var/lib/etcd".into(), name: name.into() };
    let step = Step::new("reset", Reset { cluster: "plant-7".into(), etcd_aside: Some(aside) });
    apply(&step, &machine).unwrap();
    let calls = machine.calls();
    let kubeadm: Vec<&String> = calls.iter().filter(|call| call.starts_with("kubeadm reset")).collect();
    assert!(!kubeadm.is_empty() && kubeadm[0].ends_with("--skip-phases remove-etcd-member"), "{calls:?}");
    assert_eq!(machine.tree(), expected);
    apply(&step, &machine).unwrap();
    assert_eq!(machine.tree(), expected);
}
