//! Reset gives the host back.

use std::collections::BTreeMap;

use sealock_node::host::{Command, Host};
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
        replaces: Default::default(),
    };
    let replaces = Some(Digest::sha256(b"the owner's"));
    let file = |path: &str, replaces| File { path: path.into(), content: "ours".into(), mode: Mode::FILE, replaces };
    vec![
        Step::new("claim", Claim { cluster: "plant-7".into(), running: None }),
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
    let kept = [
        "kept.json",
        "kept-objects.json",
        "requests/kubelet.conf",
        "requests.new/pki/apiserver.key",
        "authorities-outside",
    ];
    let kept = kept.map(|name| format!("/var/lib/sealock/node/{name}"));
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
    apply(&Step::new("claim", Claim { cluster: "plant-8".into(), running: None }), &machine).unwrap();
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

/// A node is taken over by the authority of its cluster, and by no name of files.
#[test]
fn a_node_that_runs_is_claimed_for_its_own_cluster_only() {
    let machine = fresh();
    let certificate = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
    let (own, other) = (certificate("kubernetes"), certificate("kubernetes"));
    let hash = |pem: &str| sealock_node::facts::ca_hash_of(pem.as_bytes()).unwrap();
    let claim = |pem: &str| Step::new("claim", Claim { cluster: "plant-7".into(), running: Some(hash(pem)) });
    assert!(matches!(probe(&claim(&own), &machine), Probe::Foreign { .. }), "it is no node");
    machine.put("/etc/kubernetes/pki/ca.crt", &own);
    machine.put("/etc/kubernetes/kubelet.conf", "theirs");
    let Probe::Foreign { found } = probe(&claim(&other), &machine) else { panic!("it would be claimed") };
    assert!(found.contains("a node of another cluster"), "{found}");
    let plain = Step::new("claim", Claim { cluster: "plant-7".into(), running: None });
    assert!(matches!(probe(&plain, &machine), Probe::Foreign { .. }), "nothing else takes it over");
    apply(&claim(&own), &machine).unwrap();
    assert_eq!(probe(&plain, &machine), Probe::Done);
    let another = Step::new("claim", Claim { cluster: "plant-8".into(), running: Some(hash(&own)) });
    assert!(matches!(probe(&another, &machine), Probe::Foreign { .. }));
    assert_eq!(machine.text("/etc/kubernetes/kubelet.conf"), "theirs");
}

/// What a node of others is, made by hand.
fn node_of_others() -> (Machine, Claim) {
    let machine = Machine::new();
    let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap().cert.pem();
    for unit in ["containerd.service", "kubelet.service"] {
        machine.put(&format!("/etc/systemd/system/{unit}"), "theirs");
        for verb in ["enable", "restart"] {
            machine.run(&Command::new("systemctl", [verb, unit])).unwrap();
        }
    }
    for path in ["/etc/containerd/config.toml", "/etc/cni/net.d/10-own.conflist", "/var/lib/containerd/images"] {
        machine.put(path, "theirs");
    }
    let kept = machine.tree();
    machine.put("/etc/kubernetes/pki/ca.crt", &authority);
    for path in ["/var/lib/kubelet/config.yaml", "/var/lib/etcd/member/wal/0.wal", "/var/log/pods/a/0.log"] {
        machine.put(path, "the cluster's");
    }
    assert!(kept.len() < machine.tree().len());
    let running = sealock_node::facts::ca_hash_of(authority.as_bytes());
    (machine, Claim { cluster: "plant-7".into(), running })
}

/// The cluster ends with all that is its own; what somebody put on the machine before is there, and enabled, as it was.
#[test]
fn a_node_that_was_taken_over_is_given_back_without_its_cluster() {
    for half in [true, false] {
        let (machine, claim) = node_of_others();
        let owners = |machine: &Machine| {
            let cluster = ["etc/kubernetes", "var/lib/kubelet", "var/lib/etcd", "var/log"];
            let mut tree = machine.tree();
            tree.retain(|path, _| !cluster.iter().any(|part| path.starts_with(part)));
            tree
        };
        let before = owners(&machine);
        apply(&Step::new("claim", claim), &machine).unwrap();
        if !half {
            let theirs = |path: &str| (path.to_owned(), Digest::sha256(b"theirs"));
            let unit = |name: &str| Unit {
                name: name.into(),
                content: "[Service]\n".into(),
                drop_ins: BTreeMap::new(),
                running: true,
                restart_on: Vec::new(),
                replaces: [theirs(&format!("/etc/systemd/system/{name}"))].into(),
            };
            apply(&Step::new("containerd", unit("containerd.service")), &machine).unwrap();
            apply(&Step::new("kubelet", unit("kubelet.service")), &machine).unwrap();
        }
        apply(&reset(), &machine).unwrap();
        let mut after = machine.tree();
        assert!(after.remove("var/log").is_some(), "the folder itself is not the cluster's");
        assert_eq!(after, before, "half taken over: {half}");
        let calls = machine.calls();
        for unit in ["containerd.service", "kubelet.service"] {
            let last = calls.iter().rfind(|call| call.contains(unit) && call.contains("able")).unwrap();
            assert_eq!(*last, format!("systemctl enable {unit}"), "{calls:?}");
        }
        assert!(machine.is_active("containerd.service") && !machine.is_active("kubelet.service"));
        apply(&reset(), &machine).unwrap();
        assert_eq!(probe(&reset(), &machine), Probe::Done);
    }
}

#[test]
fn the_top_of_a_file_system_of_a_cluster_is_emptied_and_stays() {
    let (machine, claim) = node_of_others();
    machine.put("/var/lib/etcd/lost+found/1", "the file system's");
    machine.put("/proc/self/mounts", "/dev/vdb /var/lib/etcd ext4 rw 0 0\n");
    apply(&Step::new("claim", claim), &machine).unwrap();
    apply(&reset(), &machine).unwrap();
    assert!(!machine.path().join("var/lib/etcd/member").exists());
    assert_eq!(machine.text("/var/lib/etcd/lost+found/1"), "the file system's");
    assert!(!machine.path().join("var/lib/kubelet").exists());
}

/// An adoption that was cut off before it claimed anything.
#[test]
fn a_snapshot_of_a_cluster_that_nobody_claimed_goes_and_nothing_else() {
    let (machine, _) = node_of_others();
    machine.put("/proc/self/mounts", "tmpfs /var/lib/kubelet/pods/1/volumes/secret tmpfs rw 0 0\n");
    let before = machine.tree();
    assert_eq!(probe(&reset(), &machine), Probe::Done);
    machine.put("/var/lib/sealock/snapshots/2026-11-27T090000Z-before-adoption.db", "what the cluster knows");
    machine.put("/var/lib/sealock/node/snapshot.json", "{}");
    assert!(matches!(probe(&reset(), &machine), Probe::NotDone { .. }));
    machine.calls();
    apply(&reset(), &machine).unwrap();
    let calls = machine.calls();
    assert!(!calls.iter().any(|call| call.contains("umount")), "what pods have mounted is theirs: {calls:#?}");
    assert_eq!(machine.tree(), before);
    assert!(!machine.path().join("var/lib/sealock/snapshots").exists());
    assert!(machine.is_active("kubelet.service") && machine.is_active("containerd.service"));
}

/// It has written down what is to become of the cluster's folders, and not yet whose the host is: they are others' still.
#[test]
fn a_claim_of_a_running_node_that_was_cut_off_anywhere_takes_nothing_of_it() {
    let mut cuts = 0;
    loop {
        let (machine, claim) = node_of_others();
        let before = machine.tree();
        machine.fail_after(cuts);
        let done = apply(&Step::new("claim", claim), &machine).is_ok();
        machine.heal();
        if done {
            break;
        }
        apply(&reset(), &machine).unwrap();
        assert_eq!(machine.tree(), before, "after {cuts} changes");
        assert!(machine.is_active("kubelet.service") && machine.is_active("containerd.service"));
        assert_eq!(probe(&reset(), &machine), Probe::Done);
        cuts += 1;
    }
    assert!(cuts > 3, "{cuts}");
}
