//! Three control planes without a load balancer: the first one loses its power, and comes back.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::expect::expect;
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "three-control-planes",
    upstream: Upstream::One,
    is_long: false,
    nodes: &["cp1", "cp2", "cp3", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "planes: apply again", run: super::cases::cluster::apply_again },
    Case { name: "planes: certificates are renewed", run: renewed_certificates },
    Case { name: "planes: the first one loses its power", run: power_cut },
    Case { name: "planes: the first one comes back", run: comes_back },
    Case { name: "planes: a worker leaves, and comes back", run: worker_leaves },
    Case { name: "planes: one is lost, and replaced", run: replaced },
    Case { name: "planes: reset", run: super::cases::cluster::reset },
];

pub(super) fn begin(desk: &Desk) -> Result<()> {
    for step in STEPS {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    etcd_gets_well(desk)
}

/// Every certificate of every control plane is another one, is shown by who serves with it, and nothing else has changed.
fn renewed_certificates(desk: &Desk) -> Result<()> {
    let before = serials(desk)?;
    // Killed in the middle of the second one, and run again.
    let mut renew = desk.station(&["cluster", "renew", "--yes"]);
    let mut child = renew.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let record = ["test", "-e", "/var/lib/sealock/node/renewal.json"];
    until("cp2's certificates are new", || Ok(story::output(&mut desk.lab.exec("cp2", &record))?.status.success()))?;
    let kill = "for p in $(pgrep -xf 'sealock cluster renew --yes'); do kill -KILL $p; done";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", kill]))?;
    ensure!(!child.wait()?.success(), "it was through before it was killed");
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 0, &["serves new certificates"])?;
    let after = serials(desk)?;
    ensure!(before.len() >= 30 && before.len() == after.len(), "{} certificates, and {}", before.len(), after.len());
    for (certificate, serial) in &before {
        ensure!(after.get(certificate).is_some_and(|new| new != serial), "{certificate} was not renewed");
    }
    etcd_gets_well(desk)?;
    until("the station finds nothing to do", || {
        let plan = story::output(&mut desk.station(&["cluster", "plan"]))?;
        Ok(String::from_utf8_lossy(&plan.stdout).contains("\n0 of "))
    })?;
    story::proof::application_answers(desk)
}

/// Serials of what `cluster renew` makes anew, by host and file.
fn serials(desk: &Desk) -> Result<BTreeMap<String, String>> {
    let list = story::text(&mut desk.station(&["cluster", "certificates", "-o", "json"]))?;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    let renewable = list.iter().filter(|certificate| certificate["renewable"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(renewable.map(|one| (format!("{} {}", text(&one["host"]), text(&one["path"])), text(&one["serial"]))).collect())
}

/// The cluster does not miss it: the worker goes on reporting, the station goes on working, pods come and go.
fn power_cut(desk: &Desk) -> Result<()> {
    let before = renewed(desk, "w1")?;
    desk.lab.kill_machine("cp1")?;
    until("the worker reports to others", || Ok(renewed(desk, "w1")? > before))?;
    expect(&mut desk.station(&["cluster", "cordon", "w1"]), 0, &["w1"])?;
    expect(&mut desk.station(&["cluster", "uncordon", "w1"]), 0, &["w1 takes new pods"])?;
    let kubeconfig = expect(&mut desk.station(&["cluster", "kubeconfig"]), 0, &["server: https://10.77.0.12:6443"])?;
    ensure!(!kubeconfig.contains("10.77.0.11"), "it still names the one that is gone");
    story::text(&mut kubectl(desk, &["rollout", "restart", "-n", "demo", "deployment/podinfo"]))?;
    story::text(&mut kubectl(desk, &["rollout", "status", "-n", "demo", "deployment/podinfo", "--timeout=120s"]))?;
    until("the cluster sees that it is gone", || Ok(!is_ready(desk, "cp1")?))
}

/// It finds its place again by itself.
fn comes_back(desk: &Desk) -> Result<()> {
    desk.lab.boot_machine("cp1")?;
    until("cp1 is Ready again", || is_ready(desk, "cp1"))?;
    etcd_gets_well(desk)?;
    until("the station finds nothing to do", || {
        let status = story::output(&mut desk.station(&["cluster", "status"]))?;
        Ok(status.status.success())
    })
}

/// It is given back, the others forget it, and the next apply takes it in again.
fn worker_leaves(desk: &Desk) -> Result<()> {
    let remove = ["cluster", "remove", "w1", "--yes", "--delete-emptydir-data"];
    expect(&mut desk.station(&remove), 0, &["w1 is out of cluster plant-7", "take w1 out of cluster.yaml"])?;
    super::cases::cluster::is_bare(desk, "w1")?;
    let nodes = story::text(&mut kubectl(desk, &["get", "nodes", "-o=name"]))?;
    ensure!(!nodes.contains("w1"), "the cluster still has it: {nodes}");
    // An operator who has changed something else as well does not get that by the way.
    let cluster = desk.lab.root_of("station").join("root/site/cluster.yaml");
    let spec = fs::read_to_string(&cluster)?;
    fs::write(&cluster, spec.replace("    containerd:\n", "    containerd:\n      debug: {level: debug}\n"))?;
    let more = expect(&mut desk.station(&["cluster", "add", "w1", "--yes"]), 3, &["error[SPEC]", "cp1: containerd/"]);
    fs::write(&cluster, spec)?;
    more?;
    expect(&mut desk.station(&["cluster", "add", "w1", "--yes"]), 0, &["w1 is in cluster plant-7"])?;
    expect(&mut desk.station(&["cluster", "add", "w1", "--yes"]), 0, &["nothing to do: w1 is in"])?;
    until("w1 is Ready again", || is_ready(desk, "w1"))
}

/// While one is lost, no other may leave. Then the lost one does, and what comes back in its place is a new member.
fn replaced(desk: &Desk) -> Result<()> {
    desk.lab.kill_machine("cp1")?;
    until("the cluster sees that it is gone", || Ok(!is_ready(desk, "cp1")?))?;
    expect(&mut desk.station(&["cluster", "remove", "cp2", "--lost", "--yes"]), 3, &["error[QUORUM]"])?;
    let lost = ["cluster", "remove", "cp1", "--lost", "--yes"];
    expect(&mut desk.station(&lost), 0, &["the others confirm that", "cp1 is out of cluster plant-7"])?;
    desk.lab.boot_machine("cp1")?;
    // It still has all that it had, and would serve old data to whoever asked it.
    expect(&mut desk.station(&["cluster", "remove", "cp1", "--yes"]), 0, &["cp1 is out of cluster plant-7"])?;
    super::cases::cluster::is_bare(desk, "cp1")?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    etcd_gets_well(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}

/// `kubectl …` on the second control plane host, through the proxy there.
fn kubectl(desk: &Desk, args: &[&str]) -> Command {
    let own = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=10s"];
    desk.lab.exec("cp2", &[&own[..], args].concat())
}

/// When a node last reported, in the words of the API: later is greater.
fn renewed(desk: &Desk, node: &str) -> Result<String> {
    let lease = ["get", "lease", "-n", "kube-node-lease", node, "-o=jsonpath={.spec.renewTime}"];
    story::text(&mut kubectl(desk, &lease))
}

pub(super) fn is_ready(desk: &Desk, node: &str) -> Result<bool> {
    let ready = ["get", "node", node, "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
    Ok(story::text(&mut kubectl(desk, &ready))? == "True")
}

/// Whether all three members of etcd vote and serve, asked on the second control plane host with kubeadm's own certificates.
fn etcd_is_well(desk: &Desk) -> Result<bool> {
    let status = "cd /etc/kubernetes/pki/etcd && exec /opt/sealock/sealock/*/sealock etcd status -o json --endpoint 10.77.0.12:2379 \
                  --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key";
    let answer = story::output(&mut desk.lab.exec("cp2", &["sh", "-c", status]))?;
    let status: Value = serde_json::from_slice(&answer.stdout).context("etcd status writes no JSON")?;
    Ok(answer.status.success() && status["members"].as_array().is_some_and(|members| members.len() == 3))
}

/// Waits for it: a member that has just started, or has just got another leader, is not seen at once.
pub(super) fn etcd_gets_well(desk: &Desk) -> Result<()> {
    until("etcd's three members all vote and serve", || etcd_is_well(desk))
}
