//! Machines by themselves become a cluster, each by its own operator: begun, joined by files that are carried, and given back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::cluster::is_bare;
use super::expect::expect;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "one-machine",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "cp2", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "node: what cannot be begun is told", run: refused },
    Case { name: "node: init killed in the middle, and finished", run: begun },
    Case { name: "node: a worker joins by a file", run: worker_joins },
    Case { name: "node: a control plane joins by a file, and votes", run: plane_joins },
    Case { name: "node: no member leaves while another run holds the machine", run: member_leaves },
    Case { name: "node: an etcd that is not asked keeps its data aside", run: data_stays },
];

/// None's own, so that further control planes may come.
const ENDPOINT: &str = "api.plant-7.lab:6443";
const INIT: &[&str] = &[
    "node",
    "init",
    "--cluster-name",
    "plant-7",
    "--control-plane-endpoint",
    ENDPOINT,
    "--pod-network-cidr",
    "10.244.0.0/16",
    "--overrides",
    "/root/overrides.yaml",
];
pub(super) const OWN: &[&str] = &["--overrides", "/root/overrides.yaml", "--yes"];

/// A site with a registry; three machines that are prepared from it.
pub(super) fn begin(desk: &Desk) -> Result<()> {
    for step in STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    let site: Value = serde_json::from_str(&story::text(&mut desk.station(&["site", "show", "-o", "json"]))?)?;
    let paper = site["fingerprint"].as_str().context("the site has no fingerprint")?;
    for machine in desk.nodes {
        println!("--- node prepare: {machine}, out of the site registry");
        bring(desk, machine)?;
        let prepare = "node prepare --kubernetes v1.36.3 --site-root /root/site-root.json --release /root/release.json \
                       --overrides /root/overrides.yaml --yes --site-root-digest";
        let plane = if *machine == "w1" { &[][..] } else { &["--control-plane"] };
        let words: Vec<&str> = prepare.split_whitespace().chain([paper]).chain(plane.iter().copied()).collect();
        sealock(desk, machine, &words, 0, &["steps changed this machine"])?;
    }
    Ok(())
}

/// What an operator carries to the machine, and the pod network that is the operator's own.
fn bring(desk: &Desk, machine: &str) -> Result<()> {
    let station = desk.lab.root_of("station").join("var/lib/sealock");
    desk.carry(&desk.binaries.inside, machine, "/usr/local/sbin/sealock")?;
    desk.carry(&station.join("trust/site-root.json"), machine, "/root/site-root.json")?;
    desk.carry(&station.join("store/releases/1.json"), machine, "/root/release.json")?;
    desk.carry(&desk.written("overrides.yaml"), machine, "/root/overrides.yaml")?;
    let name = "echo '10.77.0.11 api.plant-7.lab' >> /etc/hosts";
    story::text(&mut desk.lab.exec(machine, &["sh", "-c", name])).map(drop)
}

pub(super) fn sealock(desk: &Desk, machine: &str, args: &[&str], code: i32, sentences: &[&str]) -> Result<String> {
    expect(&mut desk.lab.exec(machine, &[&["sealock"], args].concat()), code, sentences)
}

fn refused(desk: &Desk) -> Result<()> {
    let within = ["node", "init", "--pod-network-cidr", "10.77.0.0/16", "--overrides", "/root/overrides.yaml", "--yes"];
    sealock(desk, "cp1", &within, 3, &["error[SPEC]", "10.77.0.11 lies within"])?;
    sealock(desk, "w1", &[INIT, &["--yes"]].concat(), 3, &["error[PREFLIGHT]", "kubectl", "--control-plane"])?;
    let invite = ["node", "invite", "--join-file", "/root/join.json"];
    sealock(desk, "cp1", &invite, 3, &["error[PREFLIGHT]", "no complete control plane"])?;
    let looked = sealock(desk, "cp1", &[INIT, &["--dry-run"]].concat(), 0, &["12 of 12 steps", "nothing was changed"])?;
    ensure!(looked.contains("kubeadm init phase certs all"), "{looked}");
    Ok(())
}

/// Killed when certificates and kubelet are there or are not: the same command ends the work. What it says holds no secret.
fn begun(desk: &Desk) -> Result<()> {
    for seconds in ["3", "12", "25"] {
        let killed = [&["timeout", "-s", "KILL", seconds, "sealock"], INIT, &["--yes"]].concat();
        story::output(&mut desk.lab.exec("cp1", &killed))?;
    }
    let join = ["--yes", "--join-file", "/root/join.json"];
    let said = ["node cp1 is registered", "sealock node join --join-file", "sha256:"];
    let shown = sealock(desk, "cp1", &[INIT, &join].concat(), 0, &said)?;
    let file = desk.lab.root_of("cp1").join("root/join.json");
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "others may read the join file");
    let join: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let token = join["token"].as_str().context("no token")?;
    ensure!(!shown.contains(token), "the token is shown");
    sealock(desk, "cp1", &[INIT, &["--yes"]].concat(), 0, &["nothing was to be changed"])?;
    let other = [INIT, &["--service-cidr", "10.97.0.0/16", "--yes"]].concat();
    sealock(desk, "cp1", &other, 3, &["error[FOREIGN]", "another configuration", "sealock node reset"])?;
    sealock(desk, "cp1", &["node", "status"], 0, &["a control plane"])?;
    runs_pods(desk, "cp1", 1)
}

fn worker_joins(desk: &Desk) -> Result<()> {
    desk.carry(&desk.lab.root_of("cp1").join("root/join.json"), "w1", "/root/join.json")?;
    let join = [&["node", "join", "--join-file", "/root/join.json"], OWN].concat();
    sealock(desk, "w1", &[&join[..], &["--control-plane"]].concat(), 3, &["error[PREFLIGHT]", "kubectl"])?;
    sealock(desk, "w1", &join, 0, &["this machine is a node of cluster plant-7, as w1"])?;
    sealock(desk, "w1", &join, 0, &["nothing was to be changed"])?;
    sealock(desk, "w1", &["node", "status"], 0, &["a node"])?;
    runs_pods(desk, "w1", 2)
}

/// kubeadm has the member come without a vote; the command ends when it has one.
fn plane_joins(desk: &Desk) -> Result<()> {
    desk.carry(&desk.lab.root_of("cp1").join("root/join.json"), "cp2", "/root/worker.json")?;
    let by = |file: &'static str| [&["node", "join", "--control-plane", "--join-file", file], OWN].concat();
    sealock(desk, "cp2", &by("/root/worker.json"), 3, &["error[SPEC]", "it was made for workers"])?;
    let invite = ["node", "invite", "--control-plane", "--join-file", "/root/plane.json"];
    sealock(desk, "cp1", &invite, 0, &["sealock node join --control-plane"])?;
    desk.carry(&desk.lab.root_of("cp1").join("root/plane.json"), "cp2", "/root/plane.json")?;
    let killed = [&["timeout", "-s", "KILL", "20", "sealock"], &by("/root/plane.json")[..]].concat();
    story::output(&mut desk.lab.exec("cp2", &killed))?;
    sealock(desk, "cp2", &by("/root/plane.json"), 0, &["this machine is a control plane of cluster plant-7, as cp2"])?;
    ensure!(members(desk, "cp1")? == [false, false], "both members vote: {:?}", members(desk, "cp1")?);
    sealock(desk, "cp2", &["node", "status"], 0, &["a control plane"])?;
    runs_pods(desk, "cp2", 3)
}

fn member_leaves(desk: &Desk) -> Result<()> {
    let lock = "flock /var/lib/sealock/node/lock sealock node reset --yes";
    expect(&mut desk.lab.exec("cp2", &["sh", "-c", lock]), 1, &["another run is changing this node"])?;
    ensure!(members(desk, "cp1")?.len() == 2, "a member has left under another run's hands");
    sealock(desk, "cp2", &["node", "reset", "--yes"], 0, &["has left its etcd", "this machine is what it was"])?;
    is_bare(desk, "cp2")?;
    let journals = story::text(&mut desk.lab.exec("cp2", &["ls", "/var/lib/sealock/node/journal"]))?;
    ensure!(journals.lines().count() == 1, "journals of what was taken back stay: {journals}");
    ensure!(members(desk, "cp1")? == [false], "one member is left: {:?}", members(desk, "cp1")?);
    story::text(&mut desk.kubectl(&["delete", "node", "cp2"])).map(drop)
}

fn data_stays(desk: &Desk) -> Result<()> {
    sealock(desk, "w1", &["node", "reset", "--yes"], 0, &["this machine is what it was"])?;
    is_bare(desk, "w1")?;
    let said = ["move /var/lib/etcd aside", "this machine is what it was"];
    let reset = ["node", "reset", "--skip-etcd-member", "--yes"];
    sealock(desk, "cp1", &[&reset[..], &["--dry-run"]].concat(), 0, &said[..1])?;
    sealock(desk, "cp1", &reset, 0, &said[1..])?;
    is_bare(desk, "cp1")?;
    let kept = "ls -d /var/lib/etcd.20*/member/snap/db";
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", kept])).map(drop)
}

/// Whether each member of etcd is without a vote, as one of them says.
fn members(desk: &Desk, machine: &str) -> Result<Vec<bool>> {
    let ask = "sealock etcd status --endpoint https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt \
               --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt --key /etc/kubernetes/pki/etcd/healthcheck-client.key -o json";
    let status: Value = serde_json::from_str(&story::text(&mut desk.lab.exec(machine, &["sh", "-c", ask]))?)?;
    let members = status["members"].as_array().context("no members")?;
    Ok(members.iter().map(|member| member["learner"] == true).collect())
}

/// The operator's own pod network, and a pod on it.
pub(super) fn runs_pods(desk: &Desk, machine: &str, part: u8) -> Result<()> {
    let network = format!(
        r#"{{"cniVersion": "1.0.0", "name": "own", "plugins": [{{"type": "ptp", "ipam": {{"type": "host-local",
            "ranges": [[{{"subnet": "10.244.{part}.0/24"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#
    );
    let folder = desk.lab.root_of(machine).join("etc/cni/net.d");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("10-own.conflist"), network)?;
    let node = format!("node/{machine}");
    story::text(&mut desk.kubectl(&["wait", "--for=condition=Ready", &node, "--timeout=180s"]))?;
    // Without it no pod is taken; the controller makes it some time after the node is there.
    let account = ["wait", "--for=create", "serviceaccount/default", "--timeout=180s"];
    story::text(&mut desk.kubectl(&account))?;
    let pod = format!("on-{machine}");
    let overrides = format!(r#"--overrides={{"spec": {{"nodeName": "{machine}"}}}}"#);
    let image = "--image=docker.io/library/debian-tools:12";
    story::text(&mut desk.kubectl(&["run", &pod, image, &overrides, "--command", "--", "sleep", "infinity"]))?;
    let pod = format!("pod/{pod}");
    story::text(&mut desk.kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=180s"])).map(drop)
}
