//! Credential helpers: programs `docker-credential-<name>` that are asked on their standard input.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Credentials;

/// A helper may ask its owner for a finger on a key, but not forever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What helpers print when they know nothing of the host.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks helper `name` for the credentials of `host`.
pub(super) async fn ask(folders: &[PathBuf], name: &str, host: &str) -> Result<Option<Credentials>, String> {
    let program = format!("docker-credential-{name}");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(format!("{program:?} is no name of a credential helper"));
    }
    let output = match tokio::time::timeout(PATIENCE, run(&found_in(folders, &program), host)).await {
        Ok(output) => output.map_err(|error| format!("{program} cannot be run: {error}"))?,
        Err(_) => return Err(format!("{program} gave no answer for {} s", PATIENCE.as_secs())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = if text.trim().is_empty() { String::from_utf8_lossy(&output.stderr) } else { text };
        return if said.contains(NOT_FOUND) { Ok(None) } else { Err(format!("{program} failed: {}", said.trim())) };
    }
    // The answer holds a secret, so no part of it is repeated here.
    let answer: Answer =
        serde_json::from_str(&text).map_err(|_| format!("{program} gave an answer that is not understood"))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}

/// The first that exists in `folders`; otherwise the system looks along its `PATH`.
fn found_in(folders: &[PathBuf], program: &str) -> PathBuf {
    folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap_or_else(|| program.into())
}

async fn run(program: &Path, host: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input answers all the same.
        let _ = stdin.write_all(host.as_bytes()).await;
    }
    child.wait_with_output().await
}
