//! A cluster that was without power until its certificates had ended.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rescue",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1"],
    // What takes long is left out: these certificates do not hold forever.
    story: story::up_to_the_application,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "rescue: nothing has ended", run: nothing_has_ended },
    Case { name: "rescue: without power until all has ended", run: powered_off },
    Case { name: "rescue: the cluster is back", run: rescued },
    Case { name: "rescue: reset", run: super::cases::cluster::reset },
];

fn nothing_has_ended(desk: &Desk) -> Result<()> {
    let said = ["no certificate of cluster plant-7 has ended", "cluster renew"];
    expect(&mut desk.station(&["cluster", "rescue", "--yes"]), 1, &said).map(drop)
}

fn powered_off(desk: &Desk) -> Result<()> {
    for node in desk.nodes {
        desk.lab.kill_machine(node)?;
    }
    let deadline = Instant::now() + Duration::from_secs(900);
    // The longest of them is the one that a kubelet got last; every machine here has the computer's clock.
    while !ended(desk)? {
        ensure!(Instant::now() < deadline, "after 900 s a certificate still holds");
        std::thread::park_timeout(Duration::from_secs(5));
    }
    for node in desk.nodes {
        desk.lab.boot_machine(node)?;
    }
    let kubelet = ["sh", "-c", "systemctl is-active kubelet.service; true"];
    let state = story::text(&mut desk.lab.exec("w1", &kubelet))?;
    println!("      kubelet on w1 is {}", state.trim());
    let refused = story::output(&mut desk.kubectl(&["get", "nodes", "--request-timeout=5s"]))?;
    ensure!(!refused.status.success(), "the API server still answers");
    expect(&mut desk.station(&["cluster", "certificates"]), 1, &["have ended", "cluster rescue"]).map(drop)
}

/// Whether every certificate on the disks of the machines that are off has ended.
fn ended(desk: &Desk) -> Result<bool> {
    let files = [
        ("cp1", "etc/kubernetes/pki/apiserver.crt"),
        ("cp1", "var/lib/kubelet/pki/kubelet-client-current.pem"),
        ("w1", "var/lib/kubelet/pki/kubelet-client-current.pem"),
    ];
    for (machine, file) in files {
        let root = desk.lab.root_of(machine);
        let mut path = root.join(file);
        if path.is_symlink() {
            let target = std::fs::read_link(&path)?;
            path = root.join(target.strip_prefix("/").unwrap_or(&target));
        }
        let path = path.display().to_string();
        let mut look = Command::new("openssl");
        look.args(["x509", "-checkend", "0", "-noout", "-in", &path]);
        if story::output(&mut look)?.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn rescued(desk: &Desk) -> Result<()> {
    let plan =
        ["certificates", "give kubelet a new certificate as system:node:w1", "start etcd and the control plane anew"];
    expect(&mut desk.station(&["cluster", "rescue", "--dry-run"]), 0, &plan)?;
    let begun = Instant::now();
    expect(&mut desk.station(&["cluster", "rescue", "--yes"]), 0, &["cluster plant-7 is back"])?;
    println!("      back in {:.0} s", begun.elapsed().as_secs_f64());
    proof::application_answers(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    let nodes: Value = proof::kubectl_json(desk, &["get", "nodes"])?;
    ensure!(nodes["items"].as_array().is_some_and(|nodes| nodes.len() == 2), "not two nodes: {nodes}");
    Ok(())
}
