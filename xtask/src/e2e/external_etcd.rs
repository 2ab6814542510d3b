//! A cluster whose etcd is somebody else's, on machines of its own: made, grown, kept, upgraded, given back, and made again over the same etcd.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::cluster::is_bare;
use super::expect::expect;
use super::three_control_planes::is_ready;
use super::upgrade::{self, NEXT, NOW, UPGRADE};
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::outside::cluster_spec;
use crate::story::{self, Desk};
use crate::{repo, tools};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "external-etcd",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "cp2", "cp3", "w1", "w2", "w3"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "external: the cluster stands on it, and its key is nowhere else", run: stands_on_it },
    Case { name: "external: one cluster for each etcd, and each cluster stays where it is", run: not_shared },
    Case { name: "external: a second control plane comes when all members are well", run: second_plane },
    Case { name: "external: what is shown to etcd is replaced", run: other_client },
    Case { name: "external: certificates are made anew, and authorities are not", run: renewed },
    Case { name: "external: the second control plane goes, and no member", run: second_plane_goes },
    Case { name: "external: the next version of Kubernetes", run: upgraded },
    Case { name: "external: a backup", run: backed_up },
    Case { name: "external: a reset leaves etcd and what is in it", run: given_back },
    Case { name: "external: a control plane over the same etcd again", run: restored },
    Case { name: "external: an etcd that was emptied is nobody's", run: emptied },
];

/// The machines of etcd, and where they answer.
const MEMBERS: [(&str, &str); 3] = [("cp3", "10.77.0.13"), ("w2", "10.77.0.22"), ("w3", "10.77.0.23")];
const ONE_PLANE: &str = "one-plane.yaml";
const BACKUP: &str = "plant-7.backup";
const RECOVERY: &str = "/root/recovery.key";
const PREFIX: [&str; 2] = ["--prefix", "/registry/"];

fn begin(desk: &Desk) -> Result<()> {
    let programs = tools::part(&repo::root()?, "etcd")?;
    for (n, (machine, address)) in MEMBERS.into_iter().enumerate() {
        desk.carry(&programs, machine, "/media/etcd")?;
        desk.carry(&desk.binaries.inside, machine, "/usr/local/sbin/sealock")?;
        let own = ["--address", address, "--binary", "/media/etcd", "--yes"];
        let begins = ["sealock", "etcd", "init"];
        let joins = ["sealock", "etcd", "join", "10.77.0.13:2379"];
        if n > 0 {
            for file in ["ca.crt", "ca.key"] {
                bring(desk, file, machine, &format!("/etc/etcd/pki/{file}"))?;
            }
        }
        let how = if n == 0 { &begins[..] } else { &joins[..] };
        story::text(&mut desk.lab.exec(machine, &[how, &own].concat()))?;
    }
    show_to_etcd(desk, "apiserver-etcd-client")?;
    // The story's spec is the one of both control planes.
    for step in story::STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    cluster_spec(desk, ONE_PLANE)?;
    expect(
        &mut desk.station(&["cluster", "plan", "-f", ONE_PLANE]),
        0,
        &["claim the external etcd at https://10.77.0.13:2379"],
    )?;
    expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["cluster plant-7 is up"])?;
    let app = story::STEPS.iter().find(|step| step.name == "app apply").context("no step brings the application")?;
    (app.run)(desk)
}

fn bring(desk: &Desk, file: &str, machine: &str, to: &str) -> Result<()> {
    desk.carry(&desk.lab.root_of("cp3").join("etc/etcd/pki").join(file), machine, to)
}

/// What etcd's owner hands over, laid beside the spec.
fn show_to_etcd(desk: &Desk, pair: &str) -> Result<()> {
    bring(desk, "ca.crt", "station", "/root/site/etcd/ca.crt")?;
    bring(desk, &format!("{pair}.crt"), "station", "/root/site/etcd/client.crt")?;
    bring(desk, &format!("{pair}.key"), "station", "/root/site/etcd/client.key")
}

fn stands_on_it(desk: &Desk) -> Result<()> {
    ensure!(etcd_serves(desk)?, "the API server is not served by etcd");
    let pods = story::text(&mut desk.kubectl(&["get", "pods", "-n", "kube-system", "-o=name"]))?;
    ensure!(!pods.contains("etcd"), "a member runs on the control plane: {pods}");
    for node in ["cp1", "w1"] {
        story::proof::answers_on(desk, "cp1", node)?;
    }
    let status =
        expect(&mut desk.station(&["cluster", "status", "-f", ONE_PLANE]), 0, &["MEMBER OF THE EXTERNAL ETCD"])?;
    ensure!(status.matches("serves").count() == 3, "not three members serve: {status}");
    let table = ["cluster", "certificates", "-f", ONE_PLANE];
    expect(&mut desk.station(&table), 0, &["etcd-external/client.crt", "who runs etcd, and cluster apply"])?;
    expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "diff", "-f", ONE_PLANE]), 0, &["is what its spec says"])?;
    is_kept_secret(desk)
}

/// A line of the key stands in the file of the spec and in the one that the API server reads, and in none besides.
fn is_kept_secret(desk: &Desk) -> Result<()> {
    let key = fs::read_to_string(desk.lab.root_of("station").join("root/site/etcd/client.key"))?;
    let line = key.lines().nth(1).context("the key has one line")?;
    for (machine, wanted) in
        [("station", "/root/site/etcd/client.key"), ("cp1", "/etc/kubernetes/pki/etcd-external/client.key"), ("w1", "")]
    {
        let search = format!(
            "grep -rlF -e '{line}' /root /etc /var/lib/sealock /var/log /run/sealock /opt/sealock/*.json 2>/dev/null; true"
        );
        let found = story::text(&mut desk.lab.exec(machine, &["sh", "-c", &search]))?;
        ensure!(found.trim() == wanted, "on {machine} the key stands in {found}");
    }
    Ok(())
}

/// Neither does another cluster come into it, nor does this one go elsewhere.
fn not_shared(desk: &Desk) -> Result<()> {
    let site = desk.lab.root_of("station").join("root/site");
    let spec = fs::read_to_string(site.join(ONE_PLANE))?;
    let write = |name: &str, text: String| fs::write(site.join(name), text);
    let whole = fs::read_to_string(site.join("cluster.yaml"))?;
    let second = whole.split("    - name: cp2\n").nth(1).context("no second control plane in the spec")?;
    let host = second.split("    - name: ").next().unwrap_or_default();
    let (head, tail) = spec.split_once("  hosts:\n").context("no hosts in the spec")?;
    let overrides =
        tail.split_once("  # What these").map(|(_, rest)| format!("  # What these{rest}")).unwrap_or_default();
    let other =
        format!("{}  hosts:\n    - name: cp2\n{host}{overrides}", head.replace("name: plant-7", "name: plant-8"));
    write("other.yaml", other)?;
    let said = ["error[FOREIGN]", "the external etcd keeps cluster plant-7", "etcdctl del --prefix /registry/"];
    expect(&mut desk.station(&["cluster", "apply", "-f", "other.yaml", "--yes"]), 3, &said)?;
    is_bare(desk, "cp2")?;
    let at = spec.find("  etcd:\n").context("no etcd in the spec")?;
    let end = spec.find("  network:").context("no network in the spec")?;
    write("stacked.yaml", format!("{}{}", &spec[..at], &spec[end..]))?;
    let moved = ["error[SPEC]", "where it is kept does not change while a cluster lives"];
    expect(&mut desk.station(&["cluster", "apply", "-f", "stacked.yaml", "--yes"]), 3, &moved)?;
    write("fewer.yaml", spec.replace(", \"https://10.77.0.23:2379\"", ""))?;
    expect(&mut desk.station(&["cluster", "plan", "-f", "fewer.yaml"]), 3, &moved)?;
    write("on-a-host.yaml", spec.replace("https://10.77.0.23:2379", "https://10.77.0.21:2379"))?;
    let own = ["spec.etcd.external.endpoints", "https://10.77.0.21:2379 is on w1, a host of the cluster"];
    expect(&mut desk.station(&["cluster", "plan", "-f", "on-a-host.yaml"]), 3, &own).map(drop)
}

/// One member that is down keeps nobody out who is there, and nobody in who is not.
fn second_plane(desk: &Desk) -> Result<()> {
    let before = members(desk)?;
    story::text(&mut desk.lab.exec("w3", &["systemctl", "stop", "etcd"]))?;
    let refused = ["error[QUORUM]", "the external etcd is not well, seen from host cp1", "https://10.77.0.23:2379"];
    let outcome = expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &refused);
    let mended = expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["nothing to do"]);
    let seen = expect(&mut desk.station(&["cluster", "diff", "-f", ONE_PLANE]), 1, &["of the external etcd"]);
    story::text(&mut desk.lab.exec("w3", &["systemctl", "start", "etcd"]))?;
    outcome.and(mended).and(seen)?;
    until("all members are well", || well(desk))?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    until("cp2 is Ready", || is_ready(desk, "cp2"))?;
    ensure!(members(desk)? == before, "the members of etcd are others now");
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"]).map(drop)
}

/// Another certificate and key, on one control plane after the other; what does not belong together comes to none.
fn other_client(desk: &Desk) -> Result<()> {
    let serial = shown(desk)?;
    bring(desk, "client.key", "station", "/root/site/etcd/client.key")?;
    let apart = ["error[SPEC]", "keyFile", "it is not the key of the certificate"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &apart)?;
    show_to_etcd(desk, "client")?;
    let plan = ["lay down what the API server shows to the external etcd", "2 of "];
    expect(&mut desk.station(&["cluster", "plan"]), 0, &plan)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["steps changed something"])?;
    ensure!(shown(desk)? != serial, "the control planes still show {serial}");
    ensure!(etcd_serves(desk)?, "the API server is not served by etcd");
    is_kept_secret(desk)
}

/// Serial numbers of what the control planes show to etcd.
fn shown(desk: &Desk) -> Result<String> {
    let list = story::text(&mut desk.station(&["cluster", "certificates", "-o", "json"]))?;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    let external = list.iter().filter(|one| one["path"] == "/etc/kubernetes/pki/etcd-external/client.crt");
    Ok(external.map(|one| format!("{} {}", one["host"], one["serial"])).collect::<Vec<_>>().join(", "))
}

fn renewed(desk: &Desk) -> Result<()> {
    let serial = shown(desk)?;
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 0, &["serves new certificates"])?;
    ensure!(shown(desk)? == serial, "what is shown to etcd was not to be made anew");
    let refused = ["error[SPEC]", "the etcd of cluster plant-7 is external"];
    expect(&mut desk.station(&["cluster", "renew", "--authorities", "trust", "--yes"]), 3, &refused).map(drop)
}

fn second_plane_goes(desk: &Desk) -> Result<()> {
    let before = members(desk)?;
    let said = expect(
        &mut desk.station(&["cluster", "remove", "cp2", "--yes", "--delete-emptydir-data"]),
        0,
        &["cp2 is out of cluster plant-7"],
    )?;
    ensure!(!said.contains("out of etcd"), "a member was taken out: {said}");
    is_bare(desk, "cp2")?;
    ensure!(members(desk)? == before && well(desk)?, "the members of etcd are others now");
    expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["nothing to do"]).map(drop)
}

fn upgraded(desk: &Desk) -> Result<()> {
    upgrade::next_bundle(desk)?;
    let before = members(desk)?;
    let spec = desk.lab.root_of("station").join("root/site").join(ONE_PLANE);
    fs::write(&spec, fs::read_to_string(&spec)?.replace(NOW, NEXT))?;
    let upgrade = [&UPGRADE[..], &["-f", ONE_PLANE]].concat();
    story::text(&mut desk.lab.exec("w3", &["systemctl", "stop", "etcd"]))?;
    let refused = expect(&mut desk.station(&upgrade), 3, &["error[QUORUM]", "the external etcd is not well"]);
    story::text(&mut desk.lab.exec("w3", &["systemctl", "start", "etcd"]))?;
    refused?;
    until("all members are well", || well(desk))?;
    expect(&mut desk.station(&upgrade), 0, &["cluster plant-7 runs Kubernetes v1.37.2"])?;
    ensure!(members(desk)? == before, "the members of etcd are others now");
    let snapshot = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshot.contains("before-v1.37.2.db"), "no snapshot was taken: {snapshot}");
    ensure!(etcd_serves(desk)?, "the API server is not served by etcd");
    expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["nothing to do"]).map(drop)
}

fn backed_up(desk: &Desk) -> Result<()> {
    let recipient = story::text(&mut desk.station(&["site", "recovery-key", RECOVERY, "--unencrypted"]))?;
    let backup = ["cluster", "backup", "-f", ONE_PLANE, "--to", BACKUP, "--recipient", recipient.trim()];
    expect(&mut desk.station(&backup), 0, &["keys in the rehearsal", "sha256:"])?;
    let drill = ["cluster", "drill", BACKUP, "--recovery-key", RECOVERY];
    expect(&mut desk.station(&drill), 0, &["kubernetes until", "front-proxy-ca until"])?;
    note(desk, "after-the-backup")
}

fn note(desk: &Desk, name: &str) -> Result<()> {
    let note = ["create", "configmap", name, "-n", "demo", "--from-literal=note=kept"];
    story::text(&mut desk.kubectl(&note)).map(drop)
}

/// Its hosts are what they were, and etcd with all that is in it is what it is.
fn given_back(desk: &Desk) -> Result<()> {
    let (before, held) = (members(desk)?, keys(desk)?);
    let reset = ["cluster", "reset", "-f", ONE_PLANE, "--yes"];
    expect(
        &mut desk.station(&reset),
        0,
        &["the external etcd and what the cluster keeps in it stay", "etcdctl del --prefix /registry/"],
    )?;
    for host in ["cp1", "w1"] {
        is_bare(desk, host)?;
    }
    ensure!(members(desk)? == before && well(desk)?, "the members of etcd are others now");
    // What ends takes its lease along.
    let left = keys(desk)?;
    ensure!(left * 10 > held * 9, "of {held} keys {left} are left");
    // The same name is not the same cluster.
    let again = ["cluster", "apply", "-f", ONE_PLANE, "--yes"];
    expect(&mut desk.station(&again), 3, &["error[FOREIGN]", "the external etcd keeps cluster plant-7"]).map(drop)
}

/// The authorities come from the backup, and everything else is where it was: also what was written after it.
fn restored(desk: &Desk) -> Result<()> {
    let table = story::text(&mut desk.station(&["cluster", "backup", "--check", BACKUP, "-o", "json"]))?;
    let digest = serde_json::from_str::<Value>(&table)?["digest"].as_str().context("no digest")?.to_owned();
    let restore =
        ["cluster", "restore", BACKUP, "--recovery-key", RECOVERY, "-f", ONE_PLANE, "--digest", &digest, "--yes"];
    expect(&mut desk.station(&restore), 0, &["cluster plant-7"])?;
    story::text(&mut desk.kubectl(&["get", "configmap", "after-the-backup", "-n", "demo"]))?;
    until("the application runs", || {
        let status = ["rollout", "status", "-n", "demo", "deployment/podinfo", "--timeout=10s"];
        Ok(story::output(&mut desk.kubectl(&status))?.status.success())
    })?;
    expect(&mut desk.station(&["cluster", "apply", "-f", ONE_PLANE, "--yes"]), 0, &["nothing to do"]).map(drop)
}

/// Nobody takes what was lost for a beginning; and once the cluster has gone, another one may come.
fn emptied(desk: &Desk) -> Result<()> {
    let machine = &mut desk.lab.exec("cp1", &["systemctl", "stop", "kubelet"]);
    story::text(machine)?;
    let end = "for id in $(ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.container.name\"==kube-apiserver'); do ctr -n k8s.io tasks kill -s SIGKILL $id; done; true";
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", end]))?;
    etcdctl(desk, &[&["del"], &PREFIX[..]].concat())?;
    let lost = ["error[FOREIGN]", "holds nothing of cluster plant-7"];
    expect(&mut desk.station(&["cluster", "plan", "-f", ONE_PLANE]), 3, &lost)?;
    expect(&mut desk.station(&["cluster", "reset", "-f", ONE_PLANE, "--yes"]), 0, &[])?;
    etcdctl(desk, &[&["del"], &PREFIX[..]].concat())?;
    expect(&mut desk.station(&["cluster", "plan", "-f", ONE_PLANE]), 0, &["claim the external etcd"]).map(drop)
}

/// Ids and names, without what passes.
fn members(desk: &Desk) -> Result<String> {
    let status = etcd_status(desk)?;
    Ok(status["members"].to_string() + &status["cluster"].to_string())
}

fn well(desk: &Desk) -> Result<bool> {
    Ok(etcd_status(desk)?["well"] == true)
}

fn etcd_status(desk: &Desk) -> Result<Value> {
    let output = story::output(&mut desk.lab.exec("cp3", &["sealock", "etcd", "status", "-o", "json"]))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no status: {}", String::from_utf8_lossy(&output.stderr)))
}

fn keys(desk: &Desk) -> Result<usize> {
    Ok(etcdctl(desk, &[&["get", "--keys-only"], &PREFIX[..]].concat())?.lines().filter(|line| !line.is_empty()).count())
}

fn etcdctl(desk: &Desk, args: &[&str]) -> Result<String> {
    let own = ["etcdctl", "--endpoints=https://10.77.0.13:2379", "--cacert=/etc/etcd/pki/ca.crt"];
    let files = ["--cert=/etc/etcd/pki/client.crt", "--key=/etc/etcd/pki/client.key"];
    story::text(&mut desk.lab.exec("cp3", &[&own[..], &files, args].concat()))
}

fn etcd_serves(desk: &Desk) -> Result<bool> {
    Ok(story::text(&mut desk.kubectl(&["get", "--raw", "/readyz/etcd"]))?.trim() == "ok")
}
