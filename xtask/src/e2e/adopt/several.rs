//! A cluster with three control planes that somebody made by hand is taken over as it runs.

use std::fs;

use anyhow::{Result, ensure};

use super::super::expect::expect;
use super::super::watch::Watch;
use super::super::{Case, Scenario};
use super::{
    ADOPT, answers, by_hand, containers, is_as_before, killed_when_claimed, like_any_other, same, site, write_spec,
};
use crate::lab::Upstream;
use crate::story::{self, Desk};

pub(in crate::e2e) const SCENARIO: Scenario = Scenario {
    name: "adopt-three",
    upstream: Upstream::One,
    is_long: true,
    nodes: PLANES_AND_WORKER,
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "adopt-three: shown in the order of its control planes", run: shown },
    Case { name: "adopt-three: killed at the second one, and finished", run: taken_over },
    Case { name: "adopt-three: a cluster like any other", run: like_any_other },
    Case { name: "adopt-three: certificates are renewed, one control plane after the other", run: renewed },
    Case { name: "adopt-three: a control plane leaves", run: one_leaves },
    Case { name: "adopt-three: reset gives back what stood there", run: given_back },
];

const PLANES_AND_WORKER: &[&str] = &["cp1", "cp2", "cp3", "w1"];

fn begin(desk: &Desk) -> Result<()> {
    site(desk)?;
    println!("--- by hand: three control planes behind an address, a worker, a pod network and an application");
    by_hand::make_several(desk)?;
    write_spec(desk, "cluster.yaml", &[])
}

fn shown(desk: &Desk) -> Result<()> {
    let said = [
        "Plan to take over cluster plant-7",
        "note what kubeadm init has made of the node: 12 phases",
        "note what kubeadm join has made of the node: 7 phases",
        "wait until all 3 members of etcd are well",
    ];
    expect(&mut desk.station(&["cluster", "adopt", "--dry-run"]), 0, &said).map(drop)
}

/// The API and the application answer all the time, and no container is started anew.
fn taken_over(desk: &Desk) -> Result<()> {
    let before = containers(desk)?;
    let watches = [
        Watch::begin(desk, "w1", "application", &application(desk)?)?,
        Watch::begin(desk, "w1", "api", &format!("https://{}:6443/readyz", by_hand::VIRTUAL))?,
    ];
    let outcome = killed_when_claimed(desk, "cp2")
        .and_then(|()| expect(&mut desk.station(&ADOPT), 0, &["cluster plant-7 is Sealock's"]));
    let seen: Vec<_> = watches.into_iter().map(|watch| watch.end(desk)).collect();
    outcome?;
    seen.into_iter().try_for_each(|seen| seen?.ensure_answered())?;
    same("taking over", &before, &containers(desk)?)
}

/// Its pod: of these nodes none has a way to services that is not a pod's.
fn application(desk: &Desk) -> Result<String> {
    let address = ["get", "pods", "-n", "demo", "-l", "app=web", "-o=jsonpath={.items[0].status.podIP}"];
    Ok(format!("http://{}/", story::text(&mut desk.kubectl(&address))?))
}

fn renewed(desk: &Desk) -> Result<()> {
    let serial = || story::text(&mut desk.lab.exec("cp3", &["sha256sum", "/etc/kubernetes/pki/etcd/peer.crt"]));
    let before = serial()?;
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 0, &[])?;
    ensure!(before != serial()?, "cp3 shows the same certificate to its peers");
    expect(&mut desk.station(&["cluster", "status"]), 0, &["Ready"]).map(drop)
}

/// As from a cluster that Sealock made: out of etcd, out of the cluster, and what stood on the machine is there again.
fn one_leaves(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "remove", "cp3", "--yes"]), 0, &["cp3"])?;
    is_as_before(desk, "cp3")?;
    let spec = desk.lab.root_of("station").join("root/site/cluster.yaml");
    let text = fs::read_to_string(&spec)?;
    fs::write(
        &spec,
        text.lines().filter(|line| !line.contains("name: cp3")).map(|line| format!("{line}\n")).collect::<String>(),
    )?;
    let nodes = story::text(&mut desk.kubectl(&["get", "nodes", "-o=jsonpath={.items[*].metadata.name}"]))?;
    ensure!(nodes == "cp1 cp2 w1", "the nodes are {nodes}");
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    answers(desk)
}

fn given_back(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    ["cp1", "cp2", "w1"].iter().try_for_each(|node| is_as_before(desk, node))
}
