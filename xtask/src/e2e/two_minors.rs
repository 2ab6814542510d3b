//! A cluster of one node goes over two minor versions of Kubernetes by one command, and keeps what it holds.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::expect::expect;
use super::upgrade::{all_works, application, story as main_job, versions, write_version};
use super::watch::Watch;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "two-minors",
    upstream: Upstream::ThreeMinors,
    is_long: true,
    nodes: &["cp1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "two-minors: shown, and nothing done", run: shown },
    Case { name: "two-minors: one command, no minor version passed over", run: upgraded },
    Case { name: "two-minors: services, DNS, logs and exec", run: all_works },
    Case { name: "two-minors: what the node held is there", run: nothing_is_lost },
    Case { name: "two-minors: nothing is left to do", run: nothing_to_do },
    Case { name: "two-minors: the gap holds", run: proof::gap },
    Case { name: "two-minors: reset", run: super::cases::cluster::reset },
];

const OLD: &str = "v1.35.4";
const BETWEEN: &str = "v1.36.3";
const NEW: &str = "v1.37.2";
const UPGRADE: [&str; 3] = ["cluster", "upgrade", "--yes"];

/// A pod with a volume that lives as long as it does.
const KEEPER: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"keeper","namespace":"demo"},"spec":{
"terminationGracePeriodSeconds":1,"volumes":[{"name":"kept","emptyDir":{}}],
"containers":[{"name":"keeper","image":"docker.io/library/debian-tools:12","command":["sleep","infinity"],
"volumeMounts":[{"name":"kept","mountPath":"/kept"}]}]}}"#;

fn begin(desk: &Desk) -> Result<()> {
    main_job(desk)?;
    let write = format!("echo '{KEEPER}' > /root/keeper.json");
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", &write]))?;
    story::text(&mut desk.kubectl(&["apply", "-f", "/root/keeper.json"]))?;
    story::text(&mut desk.kubectl(&["wait", "-n", "demo", "pod/keeper", "--for=condition=Ready", "--timeout=120s"]))?;
    story::text(&mut desk.kubectl(&[
        "exec",
        "-n",
        "demo",
        "keeper",
        "--",
        "sh",
        "-c",
        "echo in the volume > /kept/note",
    ]))?;
    story::text(&mut desk.kubectl(&["create", "configmap", "note", "-n", "demo", "--from-literal=note=in etcd"]))
        .map(drop)
}

fn shown(desk: &Desk) -> Result<()> {
    let said = [BETWEEN, NEW, "snapshot of etcd", "kubeadm upgrade apply phase control-plane"];
    expect(&mut desk.station(&["cluster", "upgrade", "--dry-run", "--to", NEW]), 0, &said)?;
    ensure!(versions(desk)? == OLD, "something was changed: {}", versions(desk)?);
    Ok(())
}

fn upgraded(desk: &Desk) -> Result<()> {
    let watches = [
        Watch::begin(desk, "cp1", "application", &application(desk)?)?,
        Watch::begin(desk, "station", "api", "https://10.77.0.11:6443/readyz")?,
    ];
    write_version(desk, OLD, NEW)?;
    let begun = Instant::now();
    let outcome = expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"]);
    for watch in watches {
        println!("      {}", watch.end(desk)?);
    }
    outcome?;
    println!("      from {OLD} over {BETWEEN} to {NEW} in {:.0} s", begun.elapsed().as_secs_f64());
    ensure!(versions(desk)? == NEW, "kubelet is not new: {}", versions(desk)?);
    Ok(())
}

fn nothing_is_lost(desk: &Desk) -> Result<()> {
    let volume = story::text(&mut desk.kubectl(&["exec", "-n", "demo", "keeper", "--", "cat", "/kept/note"]))?;
    ensure!(volume == "in the volume\n", "the volume of a pod holds {volume:?}");
    let note = story::text(&mut desk.kubectl(&["get", "configmap", "note", "-n", "demo", "-o=jsonpath={.data.note}"]))?;
    ensure!(note == "in etcd", "the API server holds {note:?}");
    Ok(())
}

fn nothing_to_do(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&UPGRADE), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &[NEW])?;
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    for version in [BETWEEN, NEW] {
        ensure!(snapshots.contains(&format!("-before-{version}.db")), "no snapshot before {version}: {snapshots}");
    }
    Ok(())
}
