//! Applications that cannot be, and what is said about them.

use std::fs;

use anyhow::{Result, ensure};

use crate::e2e::expect::expect;
use crate::story::{self, Desk, proof};

/// An image that is not in the release is refused before the cluster is touched.
pub fn image_not_in_the_release(desk: &Desk) -> Result<()> {
    podinfo(desk, "stranger", "image: {tag: 9.9.9}\n")?;
    let sentences = ["error[NOT_IN_RELEASE]", "ghcr.io/stefanprodan/podinfo:9.9.9"];
    expect(&mut desk.station(&["app", "apply", "-f", "stranger.yaml"]), 3, &sentences)?;
    let deployments = proof::kubectl_json(desk, &["get", "deployments", "-n", "demo"])?;
    ensure!(!deployments.to_string().contains("stranger"), "the refused application reached the cluster");
    Ok(())
}

/// A pod that does not become ready is named, with its cause.
pub fn not_ready(desk: &Desk) -> Result<()> {
    podinfo(desk, "unready", "faults: {unready: true}\n")?;
    let apply = ["app", "apply", "-f", "unready.yaml", "--timeout", "90"];
    let outcome =
        expect(&mut desk.station(&apply), 1, &["not ready after 90 s", "unready-podinfo-", "eadiness probe failed"]);
    let delete =
        ["delete", "deployment,service", "-n", "demo", "-l", "app.kubernetes.io/name=unready-podinfo", "--wait=false"];
    story::text(&mut desk.kubectl(&delete))?;
    outcome.map(drop)
}

/// Pods start from the preloaded images while the registry is down.
pub fn registry_down(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "stop", "sealock.service"]))?;
    let restart = ["rollout", "restart", "-n", "demo", "deployment/podinfo"];
    let status = ["rollout", "status", "-n", "demo", "deployment/podinfo", "--timeout=90s"];
    let outcome = story::text(&mut desk.kubectl(&restart)).and_then(|_| story::text(&mut desk.kubectl(&status)));
    story::text(&mut desk.lab.exec("station", &["systemctl", "start", "sealock.service"]))?;
    story::inside::wait_until_served(desk)?;
    outcome.map(drop)
}

/// Another installation of podinfo, with values of its own.
fn podinfo(desk: &Desk, name: &str, values: &str) -> Result<()> {
    let site = desk.lab.root_of("station").join("root/site");
    fs::write(site.join("values").join(format!("{name}.yaml")), values)?;
    let spec = format!(
        "apiVersion: sealock/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  cluster: plant-7\n  charts:\n    \
         - {{name: {name}, chart: stefanprodan.github.io/podinfo/podinfo, version: 6.9.2, namespace: demo, \
         values: [values/{name}.yaml]}}\n"
    );
    Ok(fs::write(site.join(format!("{name}.yaml")), spec)?)
}
