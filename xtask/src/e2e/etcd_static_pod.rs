//! An etcd of one's own that a kubelet without a cluster keeps as a static pod, under a control plane that kubeadm makes.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::cluster::is_bare;
use super::expect::expect;
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk};
use crate::{repo, tools};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "etcd-static-pod",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "static pod: kubelet runs the first member, and starts it again", run: first_member },
    Case { name: "static pod: a second one joins", run: second_member },
    Case { name: "static pod: kubeadm's control plane stands on it", run: control_plane },
    Case { name: "static pod: a snapshot is restored under the control plane", run: restored },
    Case { name: "static pod: a member leaves, and its data stays aside", run: one_leaves },
    Case { name: "static pod: all is given back", run: given_back },
];

const KIT: &str = "/media/kit";
const MEMBERS: [&str; 2] = ["w1", "w2"];
const FIRST: &str = "10.77.0.21:2379";
const MANIFEST: &str = "etc/kubernetes/manifests/etcd.yaml";

/// Up to the site registry; then all three machines are prepared from it, and two get a kubelet that keeps static pods.
fn begin(desk: &Desk) -> Result<()> {
    for step in story::STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    let site: Value = serde_json::from_str(&story::text(&mut desk.station(&["site", "show", "-o", "json"]))?)?;
    let site = site["fingerprint"].as_str().context("the site has no fingerprint")?;
    for machine in ["cp1", "w1", "w2"] {
        prepare(desk, machine, site)?;
    }
    for machine in MEMBERS {
        desk.carry(&desk.written("kubelet.yaml"), machine, "/etc/kubernetes/kubelet-etcd.yaml")?;
        desk.carry(&desk.written("20-etcd.conf"), machine, "/etc/systemd/system/kubelet.service.d/20-etcd.conf")?;
        let start = "mkdir -p /etc/kubernetes/manifests && systemctl daemon-reload && systemctl restart kubelet";
        story::text(&mut desk.lab.exec(machine, &["sh", "-c", start]))?;
    }
    Ok(())
}

/// From the site registry, with what a person carries: the signed release and the site root.
fn prepare(desk: &Desk, machine: &str, site: &str) -> Result<()> {
    let station = desk.lab.root_of("station").join("var/lib/sealock");
    desk.carry(&station.join("store/current"), machine, &format!("{KIT}/release.json"))?;
    desk.carry(&station.join("trust/site-root.json"), machine, &format!("{KIT}/site-root.json"))?;
    desk.carry(&desk.written("overrides.yaml"), machine, &format!("{KIT}/overrides.yaml"))?;
    desk.carry(&desk.binaries.inside, machine, "/usr/local/sbin/sealock")?;
    desk.carry(&tools::part(&repo::root()?, "etcd")?, machine, "/media/etcd")?;
    let words = "sealock node prepare --kubernetes v1.36.3 --control-plane --release /media/kit/release.json \
                 --site-root /media/kit/site-root.json --overrides /media/kit/overrides.yaml --yes --site-root-digest";
    let command: Vec<&str> = words.split_whitespace().chain([site]).collect();
    expect(&mut desk.lab.exec(machine, &command), 0, &["steps changed this machine"]).map(drop)
}

fn first_member(desk: &Desk) -> Result<()> {
    let init = ["init", "--address", "10.77.0.21", "--run-by", "static-pod", "--yes", "--image"];
    let image = etcd_image(desk)?;
    etcd(desk, "w1", &[&init[..], &[&image]].concat())?;
    well(desk, 1)?;
    // Nothing of it counts as cut off.
    expect(&mut desk.lab.exec("w1", &["sealock", "node", "status"]), 0, &[])?;
    let again = etcd(desk, "w1", &[&init[..], &[&image]].concat())?;
    ensure!(again.contains("nothing was to be changed"), "it changed something: {again}");
    put(desk, "before the crash")?;
    let first = process(desk, "w1")?;
    story::text(&mut desk.lab.exec("w1", &["kill", "-KILL", &first]))?;
    until("kubelet starts etcd again", || Ok(process(desk, "w1").is_ok_and(|now| now != first)))?;
    well(desk, 1)?;
    ensure!(value(desk)? == "before the crash", "the member holds {}", value(desk)?);
    Ok(())
}

fn second_member(desk: &Desk) -> Result<()> {
    bring(desk, "w2", &["ca.crt", "ca.key"])?;
    join(desk)?;
    well(desk, 2)
}

/// By hand, as kubeadm's own documents say for an external etcd.
fn control_plane(desk: &Desk) -> Result<()> {
    bring(desk, "cp1", &["ca.crt", "client.crt", "client.key"])?;
    desk.carry(&desk.written("kubeadm.yaml"), "cp1", &format!("{KIT}/kubeadm.yaml"))?;
    let init = ["kubeadm", "init", "--config", "/media/kit/kubeadm.yaml"];
    story::text(&mut desk.lab.exec("cp1", &init))?;
    let members = story::text(&mut desk.kubectl(&["get", "--raw", "/readyz/etcd"]))?;
    ensure!(members.trim() == "ok", "the API server says of etcd: {members}");
    note(desk, "before")
}

/// What was written after the snapshot is gone for the API server, and what was written before is there.
fn restored(desk: &Desk) -> Result<()> {
    etcd(desk, "w1", &["snapshot", "/root/one.db"])?;
    note(desk, "after")?;
    etcd(desk, "w1", &["restore", "/root/one.db", "--binary", "/media/etcd", "--yes"])?;
    etcd(desk, "w2", &["reset", "--skip-remove-member", "--yes"])?;
    ensure!(!desk.lab.root_of("w2").join(MANIFEST).exists(), "the manifest is left on w2");
    bring(desk, "w2", &["ca.crt", "ca.key"])?;
    join(desk)?;
    well(desk, 2)?;
    until("the API server serves what was restored", || {
        let notes = ["get", "configmaps", "-n", "default", "-o", "name"];
        let output = story::output(&mut desk.kubectl(&notes))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success() && said.contains("/before") && !said.contains("/after"))
    })
}

fn one_leaves(desk: &Desk) -> Result<()> {
    etcd(desk, "w2", &["reset", "--yes"])?;
    well(desk, 1)?;
    ensure!(!desk.lab.root_of("w2").join(MANIFEST).exists(), "the manifest is left on w2");
    ensure!(process(desk, "w2").is_err(), "an etcd runs on w2");
    let aside = fs::read_dir(desk.lab.root_of("w2").join("var/lib"))?
        .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("etcd.20")));
    ensure!(aside, "the data of w2 is not aside");
    note(desk, "with-one-member")
}

/// What a person put there is the person's to take away; all else goes by the commands that brought it.
fn given_back(desk: &Desk) -> Result<()> {
    let reset = ["sealock", "node", "reset", "--yes"];
    expect(&mut desk.lab.exec("cp1", &reset), 0, &["this machine is what it was"])?;
    etcd(desk, "w1", &["reset", "--yes"])?;
    for machine in MEMBERS {
        let own = "systemctl stop kubelet; rm -r /etc/systemd/system/kubelet.service.d/20-etcd.conf \
                   /etc/kubernetes/kubelet-etcd.yaml && systemctl daemon-reload && rm -rf /var/lib/etcd.20*";
        story::text(&mut desk.lab.exec(machine, &["sh", "-c", own]))?;
        expect(&mut desk.lab.exec(machine, &reset), 0, &["this machine is what it was"])?;
    }
    ["cp1", "w1", "w2"].into_iter().try_for_each(|machine| is_bare(desk, machine))
}

/// The one that Kubernetes' own list names; `node prepare` has preloaded it.
fn etcd_image(desk: &Desk) -> Result<String> {
    let status: Value =
        serde_json::from_str(&story::text(&mut desk.lab.exec("w1", &["sealock", "node", "status", "-o", "json"]))?)?;
    let text = status.to_string();
    let named = text.split('"').find(|word| word.starts_with("registry.k8s.io/etcd:"));
    named.map(ToOwned::to_owned).with_context(|| format!("no image of etcd on w1: {text}"))
}

/// The process that etcd is on `machine`.
fn process(desk: &Desk, machine: &str) -> Result<String> {
    Ok(story::text(&mut desk.lab.exec(machine, &["pgrep", "-x", "etcd"]))?.trim().to_owned())
}

fn etcd(desk: &Desk, machine: &str, args: &[&str]) -> Result<String> {
    story::text(&mut desk.lab.exec(machine, &[&["sealock", "etcd"], args].concat()))
}

fn join(desk: &Desk) -> Result<()> {
    let image = etcd_image(desk)?;
    let join = ["join", FIRST, "--address", "10.77.0.22", "--run-by", "static-pod", "--yes", "--image", &image];
    etcd(desk, "w2", &join).map(drop)
}

/// As a person carries it on a stick.
fn bring(desk: &Desk, machine: &str, files: &[&str]) -> Result<()> {
    for file in files {
        let path = format!("etc/etcd/pki/{file}");
        desk.carry(&desk.lab.root_of("w1").join(&path), machine, &path)?;
    }
    Ok(())
}

fn well(desk: &Desk, size: usize) -> Result<()> {
    until("all members are well", || {
        // Its exit code says whether the cluster is well; here the whole answer is looked at.
        let output = story::output(&mut desk.lab.exec("w1", &["sealock", "etcd", "status", "--hash", "-o", "json"]))?;
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(status["well"] == true && status["members"].as_array().is_some_and(|members| members.len() == size))
    })
}

fn note(desk: &Desk, name: &str) -> Result<()> {
    story::text(&mut desk.kubectl(&["create", "configmap", name, "-n", "default"])).map(drop)
}

fn etcdctl(desk: &Desk, args: &[&str]) -> Result<String> {
    let pki =
        ["--cacert", "/etc/etcd/pki/ca.crt", "--cert", "/etc/etcd/pki/client.crt", "--key", "/etc/etcd/pki/client.key"];
    story::text(&mut desk.lab.exec("w1", &[&["/media/etcd/etcdctl", "--endpoints", FIRST], &pki[..], args].concat()))
}

fn put(desk: &Desk, value: &str) -> Result<()> {
    etcdctl(desk, &["put", "key", value]).map(drop)
}

fn value(desk: &Desk) -> Result<String> {
    Ok(etcdctl(desk, &["get", "key", "--print-value-only"])?.trim().to_owned())
}
