//! The registry: a port in use, a stop, and a start.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::import;
use crate::e2e::expect::expect;
use crate::story::inside::{ACCESS_LOG, METRICS};
use crate::story::{self, Desk};

/// A second state folder, on a node.
const COPY: &str = "var/lib/sealock-copy";

/// A port that another program has is named; a second server beside the first is refused.
pub fn port_in_use(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["serve"]), 4, &["a server is running already"])?;
    let state = import::fresh_site(desk, "second", "plant-7", None)?;
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 0, &[])?;
    let serve = ["--state-dir", &state, "serve", "--listen", "10.77.0.2:443"];
    expect(&mut desk.station(&serve), 4, &["another process listens on 10.77.0.2:443"])?;
    import::remove(desk, &state)
}

/// SIGTERM ends the unit cleanly, and a start brings the release back.
pub fn stop_and_start(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "stop", "sealock.service"]))?;
    let result = ["systemctl", "show", "sealock.service", "-P", "Result"];
    let result = story::text(&mut desk.lab.exec("station", &result))?;
    anyhow::ensure!(result.trim() == "success", "the unit ended with {result}");
    story::text(&mut desk.lab.exec("station", &["systemctl", "start", "sealock.service"]))?;
    story::inside::wait_until_served(desk)
}

/// Who may do what at the pod: nobody anything, but a robot. The digest is that of the secret.
const ACCESS: &str = "apiVersion: sealock/v1alpha1
kind: Registry
metadata: {name: registry.plant-7}
spec:
  login: {challenge: basic}
  anonymous: {pull: []}
  robots:
    - name: ci
      secret: 'DIGEST'
      expires: 9999-01-01T00:00:00Z
      grants: [{repositories: ['**'], actions: [pull, push]}]
  rules: [{repositories: ['team/**']}]
";
/// The robot's secret.
const SECRET: &str = "slk_of-the-pods-robot";
/// Where that stands on the node.
const ACCESS_FOLDER: &str = "etc/sealock-of-pod";

/// A copy of the site is served by a pod on a node, under rules that stand there, takes pushes, and goes with it.
pub fn as_a_pod(desk: &Desk) -> Result<()> {
    let (from, to) = (desk.lab.root_of("station").join("var/lib/sealock"), desk.lab.root_of("w1").join(COPY));
    story::text(Command::new("cp").arg("-a").arg(from).arg(&to))?;
    let state = format!("/{COPY}");
    let rules = desk.lab.root_of("w1").join(ACCESS_FOLDER);
    fs::create_dir_all(&rules)?;
    let secret = format!("sha256:{}", hex::encode(Sha256::digest(SECRET)));
    fs::write(rules.join("registry.yaml"), ACCESS.replace("DIGEST", &secret))?;
    let access = format!("/{ACCESS_FOLDER}/registry.yaml");
    let serve = ["serve", "--kubernetes", "w1", "--listen", "10.77.0.21:8443", "--access", &access];
    let serve = [&["--state-dir", state.as_str()], serve.as_slice()].concat();
    let copy_at_station = format!("ln -s /var/lib/sealock {state}");
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &copy_at_station]))?;
    let manifest = story::text(&mut desk.station(&serve));
    story::text(&mut desk.lab.exec("station", &["rm", &state]))?;
    fs::write(desk.lab.root_of("cp1").join("root/serve.yaml"), manifest?)?;
    let outcome = story::text(&mut desk.kubectl(&["apply", "-f", "/root/serve.yaml"])).and_then(|_| pod_answers(desk));
    story::text(&mut desk.kubectl(&["delete", "-f", "/root/serve.yaml", "--timeout=90s"]))?;
    fs::remove_dir_all(rules)?;
    fs::remove_dir_all(to)?;
    outcome
}

fn pod_answers(desk: &Desk) -> Result<()> {
    let ready = ["wait", "--for=condition=Ready", "pod/sealock-serve", "-n", "sealock-system", "--timeout=90s"];
    if let Err(error) = story::text(&mut desk.kubectl(&ready)) {
        let said = story::output(&mut desk.kubectl(&["logs", "-n", "sealock-system", "sealock-serve"]))?;
        let said = [said.stdout, said.stderr].concat();
        return Err(error.context(String::from_utf8_lossy(&said).into_owned()));
    }
    let ask = |words: &[&str], path: &str| {
        let url = format!("https://10.77.0.21:8443/v2/{path}");
        let curl = ["curl", "-sSk", "--max-time", "10", "-w", "\n%{http_code}"];
        story::text(&mut desk.lab.exec("cp1", &[&curl, words, &[url.as_str()]].concat()))
    };
    let tags = "registry.k8s.io/pause/tags/list";
    let said = ask(&[], tags)?;
    ensure!(said.ends_with("\n401"), "the pod lets in who does not log in: {said}");
    let login = format!("robot+ci:{SECRET}");
    let said = ask(&["-u", &login], tags)?;
    ensure!(said.contains("registry.k8s.io/pause") && said.ends_with("\n200"), "the pod serves something else: {said}");
    let digest = format!("sha256:{}", hex::encode(Sha256::digest("layer")));
    let upload = format!("team/app/blobs/uploads/?digest={digest}");
    let said =
        ask(&["-u", &login, "-X", "POST", "-H", "content-type: application/octet-stream", "-d", "layer"], &upload)?;
    ensure!(said.ends_with("\n201"), "the pod takes no push: {said}");
    let said = ask(&["-u", &login], &format!("team/app/blobs/{digest}"))?;
    ensure!(said == "layer\n200", "the pod has not what was pushed: {said}");
    Ok(())
}

/// Prometheus reads the numbers, and each pull of a node has its line in the access log, also after it was rotated.
pub fn observed(desk: &Desk) -> Result<()> {
    let metrics = format!("http://{METRICS}/metrics");
    let said = story::text(&mut desk.lab.exec("w1", &["curl", "-sS", "--fail", "--max-time", "10", &metrics]))?;
    for line in ["sealock_release 1", "sealock_ready 1", "sealock_release_problems 0"] {
        ensure!(said.lines().any(|found| found == line), "the metrics do not say {line}:\n{said}");
    }
    let log = story::text(&mut desk.lab.exec("station", &["cat", ACCESS_LOG]))?;
    let is_pull = |record: &Value| {
        record["client"].as_str().is_some_and(|client| client.starts_with("10.77.0.21:"))
            && record["status"] == 200
            && record["path"].as_str().is_some_and(|path| path.contains("/blobs/sha256:"))
    };
    let records: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(records.iter().any(is_pull), "no blob that w1 pulled is among {} lines", records.len());

    let rotate = format!("mv {ACCESS_LOG} {ACCESS_LOG}.1 && systemctl reload sealock.service");
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &rotate]))?;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        story::inside::wait_until_served(desk)?;
        if story::output(&mut desk.lab.exec("station", &["test", "-s", ACCESS_LOG]))?.status.success() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the access log is not begun anew 120 s after it was rotated");
    }
}
