//! Applications that cannot be, and what is said about them.

use std::fs;

use anyhow::{Result, ensure};

use crate::e2e::expect::expect;
use crate::story::{self, Desk, proof};

/// An image that is not in the release is refused before the cluster is touched.
pub fn image_not_in_the_release(desk: &Desk) -> Result<()> {
    app(desk, "docker.io/library/stranger:1", "stranger")?;
    expect(&mut desk.station(&["app", "apply", "-f", "stranger.yaml"]), 3, &["error[NOT_IN_RELEASE]", "stranger:1"])?;
    let pods = proof::kubectl_json(desk, &["get", "deployments", "-n", "demo"])?;
    ensure!(!pods.to_string().contains("stranger"), "the refused application reached the cluster");
    Ok(())
}

/// A pod that does not become ready is named, with its cause.
pub fn not_ready(desk: &Desk) -> Result<()> {
    app(desk, "docker.io/library/debian-tools:12", "sleepy")?;
    let outcome = expect(&mut desk.station(&["app", "apply", "-f", "sleepy.yaml", "--timeout", "30"]), 1, &["sleepy-"]);
    story::text(&mut desk.kubectl(&["delete", "deployment", "-n", "demo", "sleepy", "--wait=false"]))?;
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

/// An application of one deployment, whose container ends at once or cannot be found.
fn app(desk: &Desk, image: &str, name: &str) -> Result<()> {
    let site = desk.lab.root_of("station").join("root/site");
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  replicas: 1\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
         containers: [{{name: main, image: \"{image}\", command: [\"/bin/false\"]}}]\n"
    );
    fs::write(site.join(format!("{name}-manifest.yaml")), manifest)?;
    let spec = format!(
        "apiVersion: sealock/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  cluster: plant-7\n  \
         manifests: [{name}-manifest.yaml]\n"
    );
    Ok(fs::write(site.join(format!("{name}.yaml")), spec)?)
}
