//! Add-ons come in the bundle, are brought by an app, and do their work; after an upgrade, too.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;

use super::upgrade::{story as main_job, versions, write_version};
use super::{Case, Scenario, expect, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "add-ons",
    upstream: Upstream::WithAddOns,
    is_long: true,
    nodes: &["cp1", "w1"],
    story: main_job,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "add-ons: brought by an app", run: brought },
    Case { name: "add-ons: nodes and pods are measured", run: measured },
    Case { name: "add-ons: a claim gets a folder, and keeps what is in it", run: claimed },
    Case { name: "add-ons: an Ingress is answered", run: answered },
    Case { name: "add-ons: all of it after an upgrade", run: upgraded },
    Case { name: "add-ons: the gap holds", run: proof::gap },
    Case { name: "add-ons: removed", run: removed },
    Case { name: "add-ons: reset", run: super::cases::cluster::reset },
];

const NOW: &str = "v1.36.3";
const NEXT: &str = "v1.37.2";
/// The worker's own address: nothing stands before it.
const WORKER: &str = "10.77.0.21";
const FOLDERS: &str = "/var/lib/local-path-provisioner";

fn brought(desk: &Desk) -> Result<()> {
    desk.carry(&desk.written("add-ons.yaml"), "station", "/root/site/add-ons.yaml")?;
    let said = ["3 images, all in the release", "add-ons/traefik.yaml", "app add-ons is ready on cluster plant-7"];
    expect(&mut desk.station(&["app", "apply", "-f", "add-ons.yaml"]), 0, &said)?;
    expect(&mut desk.station(&["app", "diff", "-f", "add-ons.yaml"]), 0, &["is what the spec says"]).map(drop)
}

/// Its first measure takes some seconds.
fn measured(desk: &Desk) -> Result<()> {
    until("metrics-server has measured every node", || {
        let nodes = story::text(&mut desk.kubectl(&["top", "nodes", "--no-headers"]))?;
        Ok(desk.nodes.iter().all(|node| nodes.lines().any(|line| is_measured(line, node))))
    })?;
    until("metrics-server has measured the application", || {
        let pods = story::text(&mut desk.kubectl(&["top", "pods", "-n", "demo", "--no-headers"]))?;
        Ok(pods.lines().any(|line| line.starts_with("podinfo-")))
    })
}

/// Of a node that was not measured it says `<unknown>`.
fn is_measured(line: &str, node: &str) -> bool {
    line.split_whitespace().next() == Some(node) && !line.contains("unknown")
}

fn claimed(desk: &Desk) -> Result<()> {
    apply(desk, "claim", &claim())?;
    apply(desk, "writer", &pod("writer", "echo written once > /data/note"))?;
    ends(desk, "writer")?;
    let on_worker = format!("cat {FOLDERS}/*_demo_note/note");
    let note = story::text(&mut desk.lab.exec("w1", &["sh", "-c", &on_worker]))?;
    ensure!(note == "written once\n", "the folder of the claim holds {note:?}");
    apply(desk, "reader", &pod("reader", "grep -x 'written once' /data/note"))?;
    ends(desk, "reader")?;
    story::text(&mut desk.kubectl(&["delete", "-n", "demo", "pod/writer", "pod/reader", "pvc/note"]))?;
    until("the folder has gone with its claim", || {
        Ok(story::text(&mut desk.lab.exec("w1", &["ls", FOLDERS]))?.is_empty())
    })
}

/// It names no class: the provisioner's is the default.
fn claim() -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "note", "namespace": "demo"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    })
}

/// A pod that does one thing with what was claimed.
fn pod(name: &str, command: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": name,
                "image": "docker.io/library/debian-tools:12",
                "command": ["sh", "-c", command],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "note"}}],
        },
    })
}

fn ends(desk: &Desk, pod: &str) -> Result<()> {
    let pod = format!("pod/{pod}");
    let ends = ["wait", "-n", "demo", &pod, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"];
    story::text(&mut desk.kubectl(&ends)).map(drop)
}

fn answered(desk: &Desk) -> Result<()> {
    apply(desk, "ingress", &ingress())?;
    until("the Ingress is answered over HTTP", || asks(desk, &format!("http://{WORKER}/")))?;
    until("the Ingress is answered over TLS", || asks(desk, &format!("https://{WORKER}/")))?;
    // Who asks for another host is told nothing.
    let other = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", &format!("https://{WORKER}/")];
    let status = story::text(&mut desk.lab.exec("station", &other))?;
    ensure!(status == "404", "another host is answered with {status}");
    Ok(())
}

fn asks(desk: &Desk, url: &str) -> Result<bool> {
    let ask = ["curl", "-sk", "--max-time", "5", "-H", "Host: podinfo.plant-7.internal", url];
    Ok(story::text(&mut desk.lab.exec("station", &ask))?.contains("carried across the gap"))
}

/// It names no class either.
fn ingress() -> serde_json::Value {
    let backend = json!({"service": {"name": "podinfo", "port": {"number": 9898}}});
    let paths = json!({"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]});
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "podinfo", "namespace": "demo"},
        "spec": {"rules": [{"host": "podinfo.plant-7.internal", "http": paths}]},
    })
}

/// The default classes were written into the objects when they were made: afterwards new ones are made.
fn upgraded(desk: &Desk) -> Result<()> {
    write_version(desk, NOW, NEXT)?;
    let upgrade = ["cluster", "upgrade", "--yes", "--delete-emptydir-data"];
    expect(&mut desk.station(&upgrade), 0, &["cluster plant-7 runs Kubernetes v1.37.2"])?;
    ensure!(versions(desk)? == [NEXT; 2].join(" "), "not all kubelets are new: {}", versions(desk)?);
    expect(&mut desk.station(&["app", "apply", "-f", "add-ons.yaml"]), 0, &["app add-ons is ready"])?;
    measured(desk)?;
    claimed(desk)?;
    answered(desk)
}

fn removed(desk: &Desk) -> Result<()> {
    let said = ["Namespace traefik", "app add-ons is off cluster plant-7"];
    expect(&mut desk.station(&["app", "remove", "add-ons", "--yes"]), 0, &said)?;
    let left = ["get", "deployments,daemonsets,storageclasses,ingressclasses,apiservices", "-A", "-o", "name"];
    let left = story::text(&mut desk.kubectl(&left))?;
    let stays = ["metrics", "local-path", "traefik"].iter().find(|name| left.contains(*name));
    ensure!(stays.is_none(), "something of the add-ons is left:\n{left}");
    // The folder in which volumes were is the node's, not the cluster's.
    story::text(&mut desk.lab.exec("w1", &["rmdir", FOLDERS])).map(drop)
}

fn apply(desk: &Desk, name: &str, object: &serde_json::Value) -> Result<()> {
    let path = format!("root/{name}.json");
    fs::write(desk.lab.root_of("cp1").join(&path), object.to_string())?;
    story::text(&mut desk.kubectl(&["apply", "-f", &format!("/{path}")])).map(drop)
}
