//! A release has another containerd and other CNI plugins for the Kubernetes that runs: one command brings them to every node, is killed in
//! the middle, and finishes when it is typed again.

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::expect::expect;
use super::upgrade::{begin, bring_in, killed_at_a_worker, versions, while_asked};
use super::{Case, Scenario, rollback};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "components",
    upstream: Upstream::WithPatches,
    is_long: true,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "components: nothing waits", run: nothing_waits },
    Case { name: "components: the next bundle brings others", run: next_bundle },
    Case { name: "components: apply leaves the runtime of nodes as it is", run: apply_leaves_it },
    Case { name: "components: another Kubernetes is refused", run: alone },
    Case { name: "components: shown, and nothing done", run: shown },
    Case { name: "components: a worker whose containerd does not start becomes again what it was", run: worker_fails },
    Case { name: "components: killed in the middle, and finished", run: brought },
    Case { name: "components: what runs is what the release has", run: runs_what_the_release_has },
    Case { name: "components: nothing is left to do", run: nothing_to_do },
    Case { name: "components: the gap holds", run: proof::gap },
    Case { name: "components: reset", run: super::cases::cluster::reset },
];

const KUBERNETES: &str = "v1.36.3";
/// By the table of components, and by the second bundle.
const CONTAINERD: [&str; 2] = ["v2.4.2", "v2.4.1"];
const CNI_PLUGINS: [&str; 2] = ["v1.9.1", "v1.10.0"];
/// Of the machine's own operator: containerd of the second bundle does not start.
const CONTAINERD_IN_THE_WAY: &str = "etc/systemd/system/containerd.service.d/50-in-the-way.conf";
const BRING: [&str; 5] = ["cluster", "upgrade", "--components", "--yes", "--delete-emptydir-data"];

fn nothing_waits(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&BRING), 0, &["nothing to do", "the components of release 1"]).map(drop)
}

/// The packager names other components; all else stays.
fn next_bundle(desk: &Desk) -> Result<()> {
    let spec = fs::read_to_string(desk.written("sealock.yaml"))?;
    let others = format!("{{runc: v1.1.5, containerd: {}, cni-plugins: {}}}", CONTAINERD[1], CNI_PLUGINS[1]);
    let changed = spec.replace("components: {runc: v1.1.5}", &format!("components: {others}"));
    ensure!(changed != spec, "the spec names no components");
    bring_in(desk, &changed)
}

/// Whoever looks whether all is as it should be starts no runtime anew.
fn apply_leaves_it(desk: &Desk) -> Result<()> {
    let before = runtimes(desk)?;
    let pointer = "sealock cluster upgrade --components";
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do", pointer, "containerd v2.4.1"])?;
    expect(&mut desk.station(&["cluster", "plan", "--brief"]), 0, &[pointer, "cni-plugins v1.10.0"])?;
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 0, &["nothing to do", pointer])?;
    let differs = ["component/containerd", "v2.4.2 is in use, and the release has v2.4.1", "upgrade --components"];
    expect(&mut desk.station(&["cluster", "diff"]), 1, &differs)?;
    ensure!(runtimes(desk)? == before, "a containerd was started anew");
    Ok(())
}

fn alone(desk: &Desk) -> Result<()> {
    let other = [&BRING[..], &["--to", "v1.37.2"]].concat();
    let said = ["error[SPEC]", "components come alone", "without `--components`"];
    expect(&mut desk.station(&other), 3, &said).map(drop)
}

fn shown(desk: &Desk) -> Result<()> {
    let before = runtimes(desk)?;
    let show = ["cluster", "upgrade", "--components", "--dry-run", "--delete-emptydir-data"];
    let said = ["Plan to bring the components of release 2", "empty node cp1", "empty node w2", "containerd v2.4.1"];
    expect(&mut desk.station(&show), 0, &said)?;
    // Its scratch space would be lost with a pod that is evicted.
    let without = ["cluster", "upgrade", "--components", "--yes"];
    expect(&mut desk.station(&without), 3, &["emptyDir", "--delete-emptydir-data"])?;
    ensure!(runtimes(desk)? == before, "a containerd was started anew");
    check_components(desk, 0)
}

/// The control plane has the new containerd, and that of a worker does not start: the worker is put back, and then the rest, too.
fn worker_fails(desk: &Desk) -> Result<()> {
    let condition = format!("! /usr/local/bin/containerd --version | grep -q {}", CONTAINERD[1]);
    rollback::put_in_the_way(desk, "w1", CONTAINERD_IN_THE_WAY, &condition)?;
    while_asked(desk, |desk| {
        let said = ["host w1: step containerd/unit failed", "w1 became again what it was before", "cluster rollback"];
        expect(&mut desk.station(&BRING), 4, &said).map(drop)
    })?;
    rollback::expect_all_serve(desk)?;
    expect_emptied(desk, &["w1", "w2"])?;
    while_asked(desk, |desk| {
        let back = ["cluster", "rollback", "--yes", "--delete-emptydir-data"];
        expect(&mut desk.station(&back), 0, &["runs Kubernetes v1.36.3 again, and no upgrade is open"]).map(drop)
    })?;
    rollback::expect_all_serve(desk)?;
    check_components(desk, 0)?;
    rollback::take_out_of_the_way(desk, "w1", CONTAINERD_IN_THE_WAY)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do", "upgrade --components"]).map(drop)
}

fn brought(desk: &Desk) -> Result<()> {
    let begun = Instant::now();
    while_asked(desk, killed_and_finished)?;
    println!("      three nodes in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn killed_and_finished(desk: &Desk) -> Result<()> {
    killed_at_a_worker(desk, &BRING)?;
    let others = ["was begun and is not finished", "cluster upgrade --components"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &others)?;
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 1, &others)?;
    expect_emptied(desk, &["w1", "w2"])?;
    // Were the new ones bad, the release would go back: then w2, which has not changed, stays as it is.
    expect(&mut desk.station(&["release", "rollback", "1", "--yes"]), 0, &["release 3"])?;
    expect_emptied(desk, &["cp1", "w1"])?;
    expect(&mut desk.station(&["release", "rollback", "2", "--yes"]), 0, &["release 4"])?;
    expect_emptied(desk, &["w1", "w2"])?;
    expect(&mut desk.station(&BRING), 0, &["have the components of release 4"]).map(drop)
}

/// What was begun goes on with these nodes, and leaves all others alone.
fn expect_emptied(desk: &Desk, nodes: &[&str]) -> Result<()> {
    let show = ["cluster", "upgrade", "--components", "--dry-run", "--delete-emptydir-data"];
    let shown = expect(&mut desk.station(&show), 0, &["Plan to bring the components"])?;
    for node in desk.nodes {
        let is_emptied = shown.contains(&format!("empty node {node} "));
        ensure!(is_emptied == nodes.contains(node), "not {nodes:?} are to be emptied:\n{shown}");
    }
    Ok(())
}

fn runs_what_the_release_has(desk: &Desk) -> Result<()> {
    check_components(desk, 1)?;
    proof::application_answers(desk)?;
    let kubelets = versions(desk)?;
    ensure!(kubelets == vec![KUBERNETES; desk.nodes.len()].join(" "), "Kubernetes has changed: {kubelets}");
    let runtimes = ["get", "nodes", "-o=jsonpath={.items[*].status.nodeInfo.containerRuntimeVersion}"];
    let runtimes = story::text(&mut desk.kubectl(&runtimes))?;
    let wanted = format!("containerd://{}", CONTAINERD[1].trim_start_matches('v'));
    ensure!(runtimes == vec![wanted.as_str(); desk.nodes.len()].join(" "), "kubelets speak to {runtimes}");
    // A pod that comes now is made by the new ones.
    let pod = ["run", "after", "-n", "demo", "--image=docker.io/library/debian-tools:12", "--restart=Never"];
    let name = ["--command", "--", "getent", "hosts", "podinfo.demo.svc.cluster.local"];
    story::text(&mut desk.kubectl(&[&pod[..], &name].concat()))?;
    let ends = ["wait", "-n", "demo", "pod/after", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"];
    story::text(&mut desk.kubectl(&ends)).map(drop)
}

/// What each node says of itself: by the first bundle, or by the second.
fn check_components(desk: &Desk, bundle: usize) -> Result<()> {
    for node in desk.nodes {
        let on_node = |args: &[&str]| story::text(&mut desk.lab.exec(node, args));
        // Of the program and of the daemon.
        let version = on_node(&["ctr", "version"])?;
        let said = version.matches(CONTAINERD[bundle]).count();
        ensure!(said == 2, "containerd on {node} is not {} but:\n{version}", CONTAINERD[bundle]);
        let plugin = on_node(&["sh", "-c", "readlink /opt/cni/bin/ptp; /opt/cni/bin/ptp 2>&1"])?;
        let link = format!("/opt/sealock/cni-plugins/{}/ptp", CNI_PLUGINS[bundle]);
        let is_it = plugin.contains(&link) && plugin.contains(&format!("plugin {}", CNI_PLUGINS[bundle]));
        ensure!(is_it, "the CNI plugins on {node} are not {} but:\n{plugin}", CNI_PLUGINS[bundle]);
        let runc = on_node(&["runc", "--version"])?;
        ensure!(runc.contains("1.1.5"), "runc on {node} has changed:\n{runc}");
    }
    Ok(())
}

/// Which process containerd is on each node, and since when.
fn runtimes(desk: &Desk) -> Result<Vec<String>> {
    let show = ["systemctl", "show", "--property=MainPID,ActiveEnterTimestampMonotonic", "containerd.service"];
    desk.nodes.iter().map(|node| story::text(&mut desk.lab.exec(node, &show))).collect()
}

fn nothing_to_do(desk: &Desk) -> Result<()> {
    let before = runtimes(desk)?;
    expect(&mut desk.station(&BRING), 0, &["nothing to do", "the components of release 4"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    ensure!(runtimes(desk)? == before, "a containerd was started anew");
    let nodes = story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].spec.unschedulable}"]))?;
    ensure!(nodes.is_empty(), "a node takes no new pods: {nodes}");
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshots.contains("-before-release-2.db"), "no snapshot was taken: {snapshots}");
    Ok(())
}
