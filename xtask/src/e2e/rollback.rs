//! A node fails in an upgrade: it becomes again what it was, the others wait, and the whole upgrade is taken back, or goes on once the fault is
//! mended.

use std::fs;

use anyhow::{Result, ensure};

use super::expect::expect;
use super::upgrade::{NEXT, NOW, UPGRADE, application, versions, write_version};
use super::watch::Watch;
use crate::story::{self, Desk};

/// Of the machine's own operator: a kubelet of the next version does not start.
pub(super) const KUBELET_IN_THE_WAY: &str = "etc/systemd/system/kubelet.service.d/50-in-the-way.conf";
pub(super) const ROLLBACK: [&str; 4] = ["cluster", "rollback", "--yes", "--delete-emptydir-data"];

/// The first control plane is new, and kubelet of the second one does not start as the next version.
pub(super) fn second_fails(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    put_in_the_way(desk, "cp2", KUBELET_IN_THE_WAY, &format!("! readlink /usr/bin/kubelet | grep -q {NEXT}"))?;
    let watches = [
        Watch::begin(desk, "w1", "application", &application(desk)?)?,
        Watch::begin(desk, "w1", "api", "https://api.plant-7.internal:7443/readyz")?,
    ];
    let said = [
        "host cp2: step kubelet/unit failed",
        "cp2 became again what it was before, and takes pods as before",
        &format!("cp1 serve as {NEXT}"),
        &format!("cp2, cp3, w1 serve as {NOW}"),
        "sealock cluster rollback",
    ];
    let outcome = expect(&mut desk.station(&UPGRADE), 4, &said);
    for watch in watches {
        println!("      {}", watch.end(desk)?);
    }
    outcome?;
    expect_versions(desk, &[NEXT, NOW, NOW, NOW])?;
    expect_pods_of(desk, "cp2", NOW)?;
    // To whoever looks now, it is an upgrade that is not finished, and what goes on with it does with that node what it did before.
    let open = ["the upgrade to Kubernetes v1.37.2 was begun and is not finished yet", "sealock cluster rollback"];
    expect(&mut desk.station(&["cluster", "status"]), 1, &open)?;
    let again = ["cluster", "upgrade", "--dry-run", "--delete-emptydir-data"];
    let shown = expect(&mut desk.station(&again), 0, &["this plan was begun before", "+ empty node cp2"])?;
    ensure!(!shown.contains("+ empty node cp1"), "cp1 is through:\n{shown}");
    Ok(())
}

/// What the first one has become is taken back, too, and the cluster is what it was to every command.
pub(super) fn all_is_taken_back(desk: &Desk) -> Result<()> {
    let others = ["was begun and is not finished", "cluster rollback"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &others)?;
    let plan = ["cluster", "rollback", "--dry-run", "--delete-emptydir-data"];
    let said =
        ["to Kubernetes v1.37.2 is taken back", "Kubernetes v1.36.3 again", "put back programs", "empty node cp1"];
    let shown = expect(&mut desk.station(&plan), 0, &said)?;
    ensure!(!shown.contains("empty node cp2") && !shown.contains("empty node w1"), "others are emptied:\n{shown}");
    expect_versions(desk, &[NEXT, NOW, NOW, NOW])?;
    let watch = Watch::begin(desk, "w1", "application", &application(desk)?)?;
    let outcome = expect(&mut desk.station(&ROLLBACK), 0, &["runs Kubernetes v1.36.3 again, and no upgrade is open"]);
    let seen = watch.end(desk)?;
    outcome?;
    seen.within(30.0)?;
    expect_versions(desk, &[NOW; 4])?;
    expect_pods_of(desk, "cp1", NOW)?;
    let config =
        ["get", "configmap", "-n", "kube-system", "kubeadm-config", "-o=jsonpath={.data.ClusterConfiguration}"];
    let config = story::text(&mut desk.kubectl(&config))?;
    ensure!(config.contains(&format!("kubernetesVersion: {NOW}")), "kubeadm would join nodes with:\n{config}");
    write_version(desk, NEXT, NOW)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &[NOW])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    expect(&mut desk.station(&ROLLBACK), 3, &["error[ONE_WAY]", "it runs Kubernetes v1.36.3"])?;
    take_out_of_the_way(desk, "cp2", KUBELET_IN_THE_WAY)
}

/// What is finished does not go back: what a restore would lose is told.
pub(super) fn finished_stays(desk: &Desk) -> Result<()> {
    let said = ["error[ONE_WAY]", "it runs Kubernetes v1.37.2", "a restore would lose these", "cluster restore"];
    expect(&mut desk.station(&ROLLBACK), 3, &said).map(drop)
}

/// A unit of `machine` does not start where `condition` does not hold.
pub(super) fn put_in_the_way(desk: &Desk, machine: &str, path: &str, condition: &str) -> Result<()> {
    let place = desk.lab.root_of(machine).join(path);
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&place, format!("[Service]\nExecStartPre=/bin/sh -c '{condition}'\n"))?;
    story::text(&mut desk.lab.exec(machine, &["systemctl", "daemon-reload"])).map(drop)
}

pub(super) fn take_out_of_the_way(desk: &Desk, machine: &str, path: &str) -> Result<()> {
    fs::remove_file(desk.lab.root_of(machine).join(path))?;
    story::text(&mut desk.lab.exec(machine, &["systemctl", "daemon-reload"])).map(drop)
}

/// All nodes are Ready, take pods, and their kubelets are these.
pub(super) fn expect_versions(desk: &Desk, wanted: &[&str]) -> Result<()> {
    let found = versions(desk)?;
    ensure!(found == wanted.join(" "), "kubelets are {found}, not {wanted:?}");
    expect_all_serve(desk)
}

/// Every node is Ready and takes pods.
pub(super) fn expect_all_serve(desk: &Desk) -> Result<()> {
    let ready = r#"-o=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    let ready = story::text(&mut desk.kubectl(&["get", "nodes", ready]))?;
    ensure!(ready == vec!["True"; desk.nodes.len()].join(" "), "not all nodes are Ready: {ready}");
    let cordoned = story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].spec.unschedulable}"]))?;
    ensure!(cordoned.is_empty(), "a node takes no new pods: {cordoned}");
    Ok(())
}

/// The control plane of `node` runs images of this version.
pub(super) fn expect_pods_of(desk: &Desk, node: &str, version: &str) -> Result<()> {
    for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let pod = format!("{component}-{node}");
        let image = ["get", "pod", "-n", "kube-system", &pod, "-o=jsonpath={.status.containerStatuses[0].image}"];
        let image = story::text(&mut desk.kubectl(&image))?;
        ensure!(image.ends_with(version), "{pod} runs {image}");
    }
    Ok(())
}
