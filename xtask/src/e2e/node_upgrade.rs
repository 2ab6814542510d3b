//! Machines by themselves go to the next version of Kubernetes, each by its own operator: the control plane out of a stick, the worker out of
//! the site registry. Both are killed in the middle, and the same command goes on; what the cluster keeps stays.

use std::fs;

use anyhow::{Result, ensure};

use super::cases::cluster::is_bare;
use super::one_machine::{self, OWN, runs_pods, sealock};
use super::rollback::{put_in_the_way, take_out_of_the_way};
use super::until::until;
use super::upgrade::{NEXT, NOW, next_bundle};
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "node-upgrade",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "node-upgrade: what is not in order is told", run: refused },
    Case { name: "node-upgrade: the control plane is killed in the middle, and finished", run: plane_upgraded },
    Case { name: "node-upgrade: a worker that fails becomes again what it was", run: worker_fails },
    Case {
        name: "node-upgrade: the worker empties itself, is killed in the middle, and finished",
        run: worker_upgraded,
    },
    Case { name: "node-upgrade: nothing is left to do, and all is given back", run: given_back },
];

const STICK: &str = "/media/stick";
/// Of the machine's own operator: a kubelet of the next version does not start.
const KUBELET_IN_THE_WAY: &str = "etc/systemd/system/kubelet.service.d/50-in-the-way.conf";
const INIT: &[&str] = &[
    "node",
    "init",
    "--cluster-name",
    "plant-7",
    "--pod-network-cidr",
    "10.244.0.0/16",
    "--run-pods",
    "--join-file",
    "/root/join.json",
];

/// A cluster of two machines at one version, with an application of which one pod is always to be there; and a release with the next.
fn begin(desk: &Desk) -> Result<()> {
    one_machine::begin(desk)?;
    sealock(desk, "cp1", &[INIT, OWN].concat(), 0, &["node cp1 is registered"])?;
    runs_pods(desk, "cp1", 1)?;
    desk.carry(&desk.lab.root_of("cp1").join("root/join.json"), "w1", "/root/join.json")?;
    let join = [&["node", "join", "--join-file", "/root/join.json"], OWN].concat();
    sealock(desk, "w1", &join, 0, &["this machine is a node of cluster plant-7, as w1"])?;
    runs_pods(desk, "w1", 2)?;
    // The operator's own pod network, across machines; and a way to the Services, where no default route is one.
    for (machine, other, via) in [("cp1", "10.244.2.0/24", "10.77.0.21"), ("w1", "10.244.1.0/24", "10.77.0.11")] {
        let routes = format!("ip route add {other} via {via} && ip route add 10.96.0.0/12 dev eth0");
        story::text(&mut desk.lab.exec(machine, &["sh", "-c", &routes]))?;
    }
    // Nothing starts these anew.
    story::text(&mut desk.kubectl(&["delete", "pod", "on-cp1", "on-w1", "--now"]))?;
    let image = "--image=docker.io/library/debian-tools:12";
    let create = ["create", "deployment", "web", image, "--replicas=2", "--", "sleep", "infinity"];
    story::text(&mut desk.kubectl(&create))?;
    let budget = ["create", "poddisruptionbudget", "web", "--min-available=1", "--selector=app=web"];
    story::text(&mut desk.kubectl(&budget))?;
    story::text(&mut desk.kubectl(&["create", "configmap", "kept", "--from-literal=said=before the upgrade"]))?;
    serves(desk)?;
    next_bundle(desk)?;
    let station = desk.lab.root_of("station").join("var/lib/sealock");
    desk.carry(&station.join("store"), "cp1", &format!("{STICK}/store"))?;
    desk.carry(&station.join("trust/site-root.json"), "cp1", &format!("{STICK}/site-root.json"))?;
    desk.carry(&station.join("store/releases/2.json"), "w1", "/root/release.json")
}

fn of_stick(version: &'static str) -> Vec<&'static str> {
    let words = ["node", "upgrade", "--from", "/media/stick/store", "--site-root", "/media/stick/site-root.json"];
    [&words[..], OWN, &["--kubernetes", version]].concat()
}

fn of_registry(version: &'static str) -> Vec<&'static str> {
    let words = ["node", "upgrade", "--site-root", "/root/site-root.json", "--release", "/root/release.json"];
    [&words[..], OWN, &["--kubernetes", version]].concat()
}

fn refused(desk: &Desk) -> Result<()> {
    sealock(desk, "cp1", &of_stick("v1.38.0"), 3, &["error[SPEC]", "a minor version would be passed over"])?;
    sealock(desk, "cp1", &of_stick("v1.35.4"), 3, &["error[SPEC]", "this machine runs Kubernetes v1.36.3"])?;
    sealock(desk, "cp1", &of_stick("v1.37.9"), 3, &["error[NOT_IN_RELEASE]", "kubeadm v1.37.9"])?;
    let first = ["error[PREFLIGHT]", "not every control plane runs Kubernetes v1.37.2 yet", "control plane first"];
    sealock(desk, "w1", &of_registry(NEXT), 3, &first)?;
    sealock(desk, "cp1", &of_stick(NOW), 0, &["cp1 runs Kubernetes v1.36.3", "nothing was to be changed"])?;
    let shown = ["kubeadm upgrade apply phase control-plane", "take a snapshot of etcd", "nothing was changed"];
    sealock(desk, "cp1", &[&of_stick(NEXT)[..], &["--dry-run"]].concat(), 0, &shown)?;
    ensure!(versions(desk)? == format!("{NOW} {NOW}"), "something was changed: {}", versions(desk)?);
    Ok(())
}

fn plane_upgraded(desk: &Desk) -> Result<()> {
    killed(desk, "cp1", &of_stick(NEXT), &["20", "45", "40"])?;
    sealock(desk, "cp1", &of_stick(NEXT), 0, &["cp1 runs Kubernetes v1.37.2", "changed this machine"])?;
    ensure!(versions(desk)? == format!("{NEXT} {NOW}"), "kubelets are {}", versions(desk)?);
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshots.contains("-before-v1.37.2.db"), "no snapshot was taken: {snapshots}");
    sealock(desk, "cp1", &["node", "status"], 0, &["a control plane"])?;
    serves(desk)
}

/// kubelet does not start as the next version.
fn worker_fails(desk: &Desk) -> Result<()> {
    put_in_the_way(desk, "w1", KUBELET_IN_THE_WAY, &format!("! readlink /usr/bin/kubelet | grep -q {NEXT}"))?;
    let said = ["step kubelet/unit failed", "w1 became again what it was before, Kubernetes v1.36.3, and takes pods"];
    sealock(desk, "w1", &of_registry(NEXT), 1, &said)?;
    ensure!(versions(desk)? == format!("{NEXT} {NOW}"), "kubelets are {}", versions(desk)?);
    take_out_of_the_way(desk, "w1", KUBELET_IN_THE_WAY)?;
    sealock(desk, "w1", &["node", "status"], 0, &["a node"])?;
    serves(desk)
}

/// It has no more rights than its own kubelet.
fn worker_upgraded(desk: &Desk) -> Result<()> {
    let absent = story::output(&mut desk.lab.exec("w1", &["ls", "/etc/kubernetes/admin.conf"]))?;
    ensure!(!absent.status.success(), "the worker has the administrator's credentials");
    killed(desk, "w1", &of_registry(NEXT), &["6", "12"])?;
    sealock(desk, "w1", &of_registry(NEXT), 0, &["w1 runs Kubernetes v1.37.2"])?;
    ensure!(versions(desk)? == format!("{NEXT} {NEXT}"), "kubelets are {}", versions(desk)?);
    serves(desk)
}

fn given_back(desk: &Desk) -> Result<()> {
    for (machine, again) in [("cp1", of_stick(NEXT)), ("w1", of_registry(NEXT))] {
        let said = [&format!("{machine} runs Kubernetes v1.37.2"), "nothing was to be changed"];
        sealock(desk, machine, &again, 0, &said.map(|said| said as &str))?;
    }
    for machine in ["w1", "cp1"] {
        sealock(desk, machine, &["node", "reset", "--yes"], 0, &["this machine is what it was"])?;
        is_bare(desk, machine)?;
    }
    Ok(())
}

fn killed(desk: &Desk, machine: &str, args: &[&str], after: &[&str]) -> Result<()> {
    for seconds in after {
        let killed = [&["timeout", "-s", "KILL", *seconds, "sealock"], args].concat();
        story::output(&mut desk.lab.exec(machine, &killed))?;
    }
    Ok(())
}

/// Of cp1 and w1.
fn versions(desk: &Desk) -> Result<String> {
    let versions = "-o=jsonpath={.items[*].status.nodeInfo.kubeletVersion}";
    story::text(&mut desk.kubectl(&["get", "nodes", versions]))
}

/// Nodes take pods, the application is whole, and what was written before is there.
fn serves(desk: &Desk) -> Result<()> {
    let cordoned = story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].spec.unschedulable}"]))?;
    ensure!(cordoned.is_empty(), "a node takes no new pods: {cordoned}");
    until("both pods of the application are there", || {
        let ready = ["get", "deployment", "web", "-o=jsonpath={.status.availableReplicas}"];
        Ok(story::text(&mut desk.kubectl(&ready))?.trim() == "2")
    })?;
    let kept = story::text(&mut desk.kubectl(&["get", "configmap", "kept", "-o=jsonpath={.data.said}"]))?;
    ensure!(kept == "before the upgrade", "the cluster has lost what it kept: {kept:?}");
    let manifests = desk.lab.root_of("cp1").join("etc/kubernetes/manifests");
    ensure!(fs::read_dir(manifests)?.count() == 4, "a static pod is missing");
    Ok(())
}
