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
    let removed = remove(desk, "unready");
    outcome.and(removed)
}

/// What `apply` would change is shown before, and where the cluster differs from what was brought there, afterwards.
pub fn diff(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["app", "diff"]), 0, &["app demo on cluster plant-7 is what the spec says"])?;
    changed(desk)?;
    let sentences = [
        "changed Deployment demo/podinfo (chart podinfo)",
        "carried across the gap",
        "changed twice",
        "removed Deployment demo/web",
        "removed Service demo/web",
        "0 added, 1 changed, 2 removed",
    ];
    expect(&mut desk.station(&["app", "diff", "-f", "changed.yaml"]), 1, &sentences)?;
    expect(&mut desk.station(&["app", "diff", "demo"]), 0, &["is what was brought there last"])?;
    let paint =
        |label: &str| story::text(&mut desk.kubectl(&["label", "-n", "demo", "service/podinfo", label, "--overwrite"]));
    paint("app.kubernetes.io/managed-by=somebody")?;
    let outcome = expect(&mut desk.station(&["app", "diff", "demo"]), 1, &["changed Service demo/podinfo", "somebody"]);
    paint("app.kubernetes.io/managed-by=Helm")?;
    outcome.map(drop)
}

/// A changed value comes, what the spec has no more goes, and a rollback brings all of it back.
pub fn rollback(desk: &Desk) -> Result<()> {
    changed(desk)?;
    let gone = ["chart podinfo is installed", "Deployment demo/web is gone", "Service demo/web is gone", "is ready"];
    expect(&mut desk.station(&["app", "apply", "-f", "changed.yaml"]), 0, &gone)?;
    ensure!(!deployments(desk)?.contains("\"web\""), "what the spec has no more is still there");
    let back =
        ["chart podinfo is what Helm's revision", "web.yaml", "what it was in revision 1, and ready: revision 3"];
    expect(&mut desk.station(&["app", "rollback", "demo"]), 0, &back)?;
    let deployments = deployments(desk)?;
    ensure!(deployments.contains("\"web\""), "what went is not back");
    ensure!(deployments.contains("carried across the gap"), "the value is not what it was");
    expect(&mut desk.station(&["app", "diff"]), 0, &["is what the spec says"])?;
    expect(&mut desk.station(&["app", "history", "demo"]), 0, &["rollback to 1", "podinfo:6.9.2", "ready"])?;
    expect(&mut desk.station(&["app", "rollback", "demo", "--to", "9"]), 1, &["no revision 9 is known, but 1, 2, 3"])?;
    Ok(())
}

/// A hook runs before its chart; one that fails ends the apply with its log, though its policy deletes it; and a rollback runs those of then.
pub fn hooks(desk: &Desk) -> Result<()> {
    let apply = |check: &str| {
        hooked(desk, check)?;
        Ok::<_, anyhow::Error>(desk.station(&["app", "apply", "-f", "hooked.yaml"]))
    };
    let fine = ["a hook runs: pod demo/hooked-check-", "chart hooked is installed"];
    expect(&mut apply("echo all is well")?, 0, &fine)?;
    expect(&mut desk.station(&["app", "diff", "-f", "hooked.yaml"]), 0, &[])?;
    // Pods are looked at now and then: one that lives for a moment may be missed.
    let failing = "echo there is no table; timeout 3 tail -f /dev/null; exit 3";
    let told = ["pre-upgrade hooks failed", "ended with exit code 3", "| there is no table", "sealock app rollback"];
    expect(&mut apply(failing)?, 1, &told)?;
    let back = ["a hook runs: pod demo/hooked-check-", "chart hooked is what Helm's revision 1 was", "revision 3"];
    expect(&mut desk.station(&["app", "rollback", "hooked", "--to", "1"]), 0, &back)?;
    remove(desk, "hooked")
}

/// An installation of the chart whose hook does what its values say.
fn hooked(desk: &Desk, check: &str) -> Result<()> {
    let site = desk.lab.root_of("station").join("root/site");
    fs::write(site.join("values/hooked.yaml"), serde_json::json!({"check": check}).to_string())?;
    let spec = "apiVersion: sealock/v1alpha1\nkind: App\nmetadata: {name: hooked}\nspec:\n  cluster: plant-7\n  namespace: demo\n  \
                charts:\n    - {name: hooked, chart: charts.example/hooks/hooks, version: 1.0.0, values: [values/hooked.yaml]}\n";
    Ok(fs::write(site.join("hooked.yaml"), spec)?)
}

/// What was applied goes, and nothing else.
pub fn removed(desk: &Desk) -> Result<()> {
    podinfo(desk, "leaving", "")?;
    expect(&mut desk.station(&["app", "apply", "-f", "leaving.yaml"]), 0, &["app leaving is ready"])?;
    expect(&mut desk.station(&["app", "list"]), 0, &["demo", "leaving", "plant-7"])?;
    expect(&mut desk.station(&["app", "remove", "leaving"]), 2, &["Deployment demo/leaving-podinfo", "--yes"])?;
    remove(desk, "leaving")?;
    let deployments = deployments(desk)?;
    ensure!(!deployments.contains("leaving"), "the application is still there");
    ensure!(deployments.contains("\"podinfo\""), "another application went with it");
    expect(&mut desk.station(&["app", "history", "leaving"]), 1, &["has brought no application leaving"])?;
    Ok(())
}

fn remove(desk: &Desk, name: &str) -> Result<()> {
    let text = format!("app {name} is off cluster plant-7");
    expect(&mut desk.station(&["app", "remove", name, "--yes"]), 0, &[&text]).map(drop)
}

fn deployments(desk: &Desk) -> Result<String> {
    Ok(proof::kubectl_json(desk, &["get", "deployments", "-n", "demo"])?.to_string())
}

/// The main job's application with another value, and without one of its files of manifests.
fn changed(desk: &Desk) -> Result<()> {
    let site = desk.lab.root_of("station").join("root/site");
    let values =
        fs::read_to_string(site.join("values/podinfo.yaml"))?.replace("carried across the gap", "changed twice");
    fs::write(site.join("values/changed.yaml"), values)?;
    let manifests = "manifests: [manifests/namespace.yaml, manifests/node-exporter.yaml, manifests/tools.yaml]";
    let spec = fs::read_to_string(site.join("app.yaml"))?;
    let spec = spec.replace("values/podinfo.yaml", "values/changed.yaml").replace("manifests: [manifests]", manifests);
    Ok(fs::write(site.join("changed.yaml"), spec)?)
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
