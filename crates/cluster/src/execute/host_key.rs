//! Pinned host keys: what a host shows is compared with the spec, and ssh is told to accept nothing else.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use super::ExecuteError;
use crate::spec::{Host, Pin, fingerprint};

/// A key that a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    kind: String,
    blob: Vec<u8>,
}

/// Writes the pinned key of `host` to `known_hosts`, for ssh.
///
/// # Errors
/// Only a fingerprint is pinned and the host shows no such key.
pub(super) async fn pin(host: &Host, known_hosts: &Path, timeout: Duration) -> Result<(), ExecuteError> {
    let line = match &host.ssh.host_key {
        Pin::Key { kind, blob } => line(host, kind, blob),
        Pin::Fingerprint(_) => {
            let shown = scan(host, timeout).await?;
            let key = shown.iter().find(|key| host.ssh.host_key.matches(&key.blob));
            let key = key.ok_or_else(|| mismatch(host, &shown))?;
            line(host, &key.kind, &key.blob)
        }
    };
    std::fs::write(known_hosts, line).map_err(|source| ExecuteError::Io {
        action: "write",
        path: known_hosts.into(),
        source,
    })
}

/// Why ssh could not connect: the machine is another one, or does not answer. `None` where neither is so.
pub(super) async fn explain(host: &Host, timeout: Duration) -> Option<ExecuteError> {
    match scan(host, timeout).await {
        Err(error) => Some(error),
        Ok(shown) if shown.iter().any(|key| host.ssh.host_key.matches(&key.blob)) => None,
        Ok(shown) => Some(mismatch(host, &shown)),
    }
}

fn line(host: &Host, kind: &str, blob: &[u8]) -> String {
    let name = match host.ssh.port {
        22 => host.address.to_string(),
        port => format!("[{}]:{port}", host.address),
    };
    format!("{name} {kind} {}\n", STANDARD.encode(blob))
}

fn mismatch(host: &Host, shown: &[Shown]) -> ExecuteError {
    let kind = match &host.ssh.host_key {
        Pin::Key { kind, .. } => Some(kind),
        Pin::Fingerprint(_) => None,
    };
    let comparable: Vec<&Shown> = shown.iter().filter(|key| kind.is_none_or(|kind| *kind == key.kind)).collect();
    let named = if comparable.is_empty() { shown.iter().collect() } else { comparable };
    let found: Vec<String> = named.iter().map(|key| format!("{} ({})", fingerprint(&key.blob), key.kind)).collect();
    ExecuteError::HostKey {
        host: host.name.to_string(),
        address: host.address.to_string(),
        pinned: host.ssh.host_key.fingerprint(),
        found: found.join(", "),
    }
}

/// The keys that the host shows, asked without logging in.
async fn scan(host: &Host, timeout: Duration) -> Result<Vec<Shown>, ExecuteError> {
    let unreachable = |source| ExecuteError::Unreachable {
        host: host.name.to_string(),
        address: host.address.to_string(),
        port: host.ssh.port,
        source,
    };
    let output = Command::new("ssh-keyscan")
        .args(["-T", &timeout.as_secs().max(1).to_string(), "-p", &host.ssh.port.to_string()])
        .arg(host.address.to_string())
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(unreachable)?;
    let shown = parse(&String::from_utf8_lossy(&output.stdout));
    if shown.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rfind(|line| !line.starts_with('#')).map(ToOwned::to_owned);
        let said = said.unwrap_or_else(|| format!("nothing answered as SSH does within {} s", timeout.as_secs()));
        return Err(unreachable(std::io::Error::other(said)));
    }
    Ok(shown)
}

fn parse(text: &str) -> Vec<Shown> {
    let key = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let kind = words.next()?.to_owned();
        let blob = STANDARD.decode(words.next()?).ok()?;
        Some(Shown { kind, blob })
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv";

    fn host(port: u16, key: &str) -> Host {
        let spec = serde_json::json!({
            "name": "cp1", "address": "10.0.0.1", "roles": ["control-plane"],
            "ssh": {"user": "ops", "port": port, "hostKey": key},
        });
        serde_json::from_value(spec).unwrap()
    }

    #[tokio::test]
    async fn a_pinned_key_is_all_that_ssh_may_accept_and_nobody_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        for (port, name) in [(22, "10.0.0.1"), (2222, "[10.0.0.1]:2222")] {
            // The address leads nowhere: asking it would fail.
            pin(&host(port, &format!("{KEY} root@cp1")), &file, Duration::from_secs(1)).await.unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{name} {KEY}\n"));
        }
    }

    #[test]
    fn another_key_is_refused_with_both_fingerprints() {
        let shown = parse("h ssh-rsa AAAA\nh ssh-ed25519 BBBB\n");
        let error = mismatch(&host(22, KEY), &shown);
        assert_eq!(error.code(), Some(sealock_trust::reason::Code::HostKey));
        assert!(!error.is_retryable());
        let (pinned, found) = (host(22, KEY).ssh.host_key.fingerprint(), fingerprint(&shown[1].blob));
        let expected = format!(
            "host cp1 (10.0.0.1) shows another key than the spec pins: it shows {found} (ssh-ed25519), pinned is {pinned}"
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_a_host_shows_is_one_key_a_line_or_nothing() {
        let shown =
            parse("h ssh-ed25519 !!!!\nh ssh-ed25519\nh\n\n# h ssh-rsa AAAA\n\u{1b}[2J\nh ssh-rsa AAAA extra\n");
        assert_eq!(shown, [Shown { kind: "ssh-rsa".into(), blob: vec![0, 0, 0] }]);
    }

    #[test]
    fn what_keyscan_prints_is_understood() {
        let text = "# 10.0.0.1:22 SSH-2.0-OpenSSH_9.2p1\n10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv\ngarbage\n";
        let shown = parse(text);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].kind, "ssh-ed25519");
    }
}
