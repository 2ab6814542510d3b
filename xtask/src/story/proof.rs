//! The auditor's part: nothing got out, everything came from the site registry, and the application answers.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::desk::Desk;
use super::teller::Report;
use super::{output, shown, text};

/// Right after an application came up, a control may be too busy to answer: then nothing is proven yet.
pub fn gap(desk: &Desk) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let mut check = desk.station(&["gap", "check"]);
        println!("      $ {}", shown(&check));
        let status = check.stdin(Stdio::null()).status()?;
        match status.code() {
            Some(0) => return Ok(()),
            Some(1) if Instant::now() < deadline => println!("      not proven yet: once more"),
            _ => bail!("sealock gap check ended with {status}"),
        }
    }
}

pub(super) fn images(desk: &Desk) -> Result<()> {
    application_answers(desk)?;
    let release = release(desk)?;
    let images = node_images(desk)?;
    ensure!(!images.is_empty(), "the nodes list no images");
    for image in &images {
        let digest = image["digest"].as_str().unwrap_or_default();
        ensure!(release.contains_key(digest), "{} on {} is not in the release", image["name"], image["node"]);
    }
    println!("      {} images on {} nodes, each in the release by digest", images.len(), desk.nodes.len());
    only_the_site_registry(desk)?;
    every_pull_is_of_the_release(desk, &release)
}

/// Containerd on every node knows one place to pull from.
fn only_the_site_registry(desk: &Desk) -> Result<()> {
    for node in desk.nodes {
        let hosts = "cd /etc/containerd/certs.d && ls -d */ && grep -h '^server\\|^\\[host' */hosts.toml";
        let hosts = text(&mut desk.lab.exec(node, &["sh", "-c", hosts]))?;
        let own = "_default/\nserver = \"https://registry.lab\"\n[host.\"https://registry.lab\"]\n";
        ensure!(hosts == own, "containerd on {node} knows other places to pull from:\n{hosts}");
    }
    println!("      containerd on every node pulls from https://registry.lab alone");
    Ok(())
}

/// What the kubelets say of their pulls: already there, or an image that the release has.
fn every_pull_is_of_the_release(desk: &Desk, release: &BTreeMap<String, String>) -> Result<()> {
    let events = kubectl_json(desk, &["get", "events", "-A"])?;
    let events = events["items"].as_array().context("no events")?;
    let (mut present, mut pulled) = (0, 0);
    for event in events.iter().filter(|event| event["reason"] == "Pulled") {
        let message = event["message"].as_str().unwrap_or_default();
        let image = message.split('"').nth(1).with_context(|| format!("an event without an image: {message}"))?;
        ensure!(release.values().any(|name| name == image), "pulled, but not in the release: {message}");
        if message.contains("already present on machine") { present += 1 } else { pulled += 1 }
    }
    println!("      the kubelets' events: {present} images were there already, {pulled} came from the site registry");
    Ok(())
}

/// Asks podinfo through its Service, from a pod on each node.
pub fn application_answers(desk: &Desk) -> Result<()> {
    desk.nodes.iter().try_for_each(|node| answers_on(desk, "cp1", node))
}

/// The same from one node of the cluster whose control plane is on `plane`. Pods may have yet to come.
pub fn answers_on(desk: &Desk, plane: &str, node: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(180);
    let selector = format!("--field-selector=spec.nodeName={node}");
    let find = ["get", "pods", "-n", "demo", "-l", "app=tools", &selector, "-o=jsonpath={.items[*].metadata.name}"];
    loop {
        let pod = text(&mut desk.kubectl_on(plane, &find))?;
        let curl = ["exec", "-n", "demo", &pod, "--", "curl", "-sS", "-m", "5", "http://podinfo.demo:9898/version"];
        let answer = output(&mut desk.kubectl_on(plane, &curl))?;
        if answer.status.success() {
            let said: String = String::from_utf8_lossy(&answer.stdout).split_whitespace().collect();
            println!("      from a pod on {node}, through the Service: {said}");
            return Ok(());
        }
        if Instant::now() > deadline {
            let said = String::from_utf8_lossy(&answer.stderr);
            bail!("podinfo does not answer {pod:?} on {node} after 180 s: {}", said.trim());
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// Digest → name, of all that the release serves.
fn release(desk: &Desk) -> Result<BTreeMap<String, String>> {
    let release: Value = serde_json::from_str(&text(&mut desk.station(&["release", "show", "-o", "json"]))?)?;
    let references = release["references"].as_array().context("the release lists no references")?;
    let pair = |entry: &Value| Some((entry["digest"].as_str()?.to_owned(), entry["name"].as_str()?.to_owned()));
    Ok(references.iter().filter_map(pair).collect())
}

/// Every named image on every node, as containerd lists it.
fn node_images(desk: &Desk) -> Result<Vec<Value>> {
    let mut images = Vec::new();
    for node in desk.nodes {
        let list = text(&mut desk.lab.exec(node, &["ctr", "--namespace", "k8s.io", "images", "list"]))?;
        for line in list.lines().skip(1) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(_), Some(digest)) = (words.next(), words.next(), words.next()) else { continue };
            // The CRI plugin also lists each image under the digest of its configuration.
            if !name.starts_with("sha256:") {
                images.push(json!({"node": node, "name": name, "digest": digest}));
            }
        }
    }
    Ok(images)
}

/// `kubectl … -o json`.
pub fn kubectl_json(desk: &Desk, args: &[&str]) -> Result<Value> {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    Ok(serde_json::from_str(&text(&mut desk.kubectl(&args))?)?)
}

/// Fills the demo's report with what is there now.
pub fn report(desk: &Desk, report: &mut Report) -> Result<()> {
    let nodes = kubectl_json(desk, &["get", "nodes"])?;
    report.nodes =
        summaries(&nodes, |item| json!({"name": item["metadata"]["name"], "info": item["status"]["nodeInfo"]}));
    let pods = kubectl_json(desk, &["get", "pods", "-A"])?;
    report.pods = summaries(&pods, |item| {
        json!({"namespace": item["metadata"]["namespace"], "name": item["metadata"]["name"],
               "node": item["spec"]["nodeName"], "phase": item["status"]["phase"]})
    });
    report.images = node_images(desk)?;
    let gap: Value = serde_json::from_str(&text(&mut desk.station(&["gap", "check", "-o", "json"]))?)?;
    report.probes = vec![gap];
    Ok(())
}

fn summaries(list: &Value, summary: impl Fn(&Value) -> Value) -> Vec<Value> {
    list["items"].as_array().map(|items| items.iter().map(summary).collect()).unwrap_or_default()
}
