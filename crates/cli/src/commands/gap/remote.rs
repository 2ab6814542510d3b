//! Asks one node to probe, over SSH.
//!
//! The node was connected to before: its key is the pinned one, and the binary is there.

use std::time::Duration;

use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use sealock_cluster::execute::SshSettings;
use sealock_cluster::spec::{Host, Pin};
use sealock_node::gap::{GapReport, GapRequest};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{CommandError, Result};

/// All probes of a node and of a pod, with their controls.
const LIMIT: Duration = Duration::from_secs(120);

/// What the node says about `request`.
pub async fn probe(host: &Host, ssh: &SshSettings, sealock: &str, request: &GapRequest) -> Result<GapReport> {
    let name = &host.name;
    let session = connect(host, ssh).await?;
    let asked = tokio::time::timeout(LIMIT, ask(&session, host, sealock, request)).await;
    let late = || CommandError::failed(format!("the gap check on {name} did not end within {} s", LIMIT.as_secs()));
    let answer = asked.map_err(|_| late())?.map_err(|error| error.context(format!("checking the gap on {name}")))?;
    serde_json::from_slice(&answer)
        .map_err(|error| CommandError::failed(format!("{name} answered something that is no gap report: {error}")))
}

async fn connect(host: &Host, ssh: &SshSettings) -> Result<Session> {
    let known_hosts = ssh.runtime_dir.join(format!("known-{}", host.name));
    std::fs::write(&known_hosts, known_host(host, ssh).await?)?;
    let mut builder = SessionBuilder::default();
    builder
        .user(host.ssh.user.clone())
        .port(host.ssh.port)
        .known_hosts_check(KnownHosts::Strict)
        .user_known_hosts_file(known_hosts)
        .connect_timeout(ssh.connect_timeout)
        .control_directory(&ssh.runtime_dir);
    if let Some(identity) = host.ssh.identity_file.as_ref().map(Into::into).or_else(|| ssh.identity_file.clone()) {
        builder.keyfile(identity);
    }
    let failed = |error| lost(host, &error);
    builder.connect(host.address.to_string()).await.map_err(failed)
}

/// The line of `known_hosts` that lets ssh accept the pinned key only.
async fn known_host(host: &Host, ssh: &SshSettings) -> Result<String> {
    let address = match host.ssh.port {
        22 => host.address.to_string(),
        port => format!("[{}]:{port}", host.address),
    };
    if let Pin::Key { .. } = &host.ssh.host_key {
        return Ok(format!("{address} {}\n", host.ssh.host_key));
    }
    // A fingerprint does not hold the key: of those that the host shows, the one with that fingerprint.
    let (timeout, port) = (ssh.connect_timeout.as_secs().max(1).to_string(), host.ssh.port.to_string());
    let mut scan = Command::new("ssh-keyscan");
    scan.args(["-T", &timeout, "-p", &port]).arg(host.address.to_string()).stdin(std::process::Stdio::null());
    let shown = String::from_utf8_lossy(&scan.output().await?.stdout).into_owned();
    let is_pinned = |line: &&str| {
        let key = line.split_once(' ').and_then(|(_, key)| key.parse::<Pin>().ok());
        key.is_some_and(|key| key.fingerprint() == host.ssh.host_key.fingerprint())
    };
    let line = shown.lines().find(is_pinned);
    line.map(|line| format!("{line}\n")).ok_or_else(|| {
        let problem = format!("{} no longer shows the pinned key {}", host.name, host.ssh.host_key.fingerprint());
        CommandError::refused(sealock_trust::reason::Code::HostKey, problem)
    })
}

async fn ask(session: &Session, host: &Host, sealock: &str, request: &GapRequest) -> Result<Vec<u8>> {
    let mut command = if host.ssh.user == "root" {
        session.command(sealock)
    } else {
        let mut sudo = session.command("sudo");
        sudo.args(["-n", "--", sealock]);
        sudo
    };
    command.args(["node", "gap"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().await.map_err(|error| lost(host, &error))?;
    if let Some(mut pipe) = child.stdin().take() {
        pipe.write_all(&serde_json::to_vec(request).map_err(std::io::Error::from)?).await?;
        pipe.shutdown().await?;
    }
    let output = child.wait_with_output().await.map_err(|error| lost(host, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(CommandError::failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn lost(host: &Host, error: &openssh::Error) -> CommandError {
    CommandError::environment(format!("the connection to {} ({}) failed: {error}", host.name, host.address))
}
