//! Helm and kubectl of the release, run with a bare environment: nothing of the station's user leaks into them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::AppError;
use crate::execute::last_words;

/// The two programs, and where they work.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) helm: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) kubeconfig: PathBuf,
    /// Their home, caches and all; goes away afterwards.
    pub(super) home: PathBuf,
}

impl Programs {
    pub(super) async fn kubectl(&self, arguments: &[&str], stdin: &[u8], limit: Duration) -> Result<Vec<u8>, AppError> {
        let output = self.run(&self.kubectl, arguments, stdin, limit).await?;
        finish(output, "kubectl", arguments)
    }

    pub(super) async fn helm(&self, arguments: &[&str], limit: Duration) -> Result<Vec<u8>, AppError> {
        let output = self.run(&self.helm, arguments, b"", limit).await?;
        finish(output, "helm", arguments)
    }

    async fn run(&self, program: &Path, arguments: &[&str], stdin: &[u8], limit: Duration) -> Result<Output, AppError> {
        let failed = |source| AppError::Io { action: "run", path: program.into(), source };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let mut pipe = child.stdin.take();
        let feed = async {
            if let Some(pipe) = &mut pipe {
                // A program that does not read all of it says why when it ends.
                let _ = pipe.write_all(stdin).await;
            }
            drop(pipe.take());
        };
        let ended = tokio::time::timeout(limit, async { tokio::join!(feed, child.wait_with_output()).1 }).await;
        let late = |_| AppError::Late {
            command: program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            seconds: limit.as_secs(),
        };
        ended.map_err(late)?.map_err(failed)
    }
}

fn finish(output: Output, program: &str, arguments: &[&str]) -> Result<Vec<u8>, AppError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words: Vec<&str> = arguments.iter().take(3).copied().collect();
    Err(AppError::Command { command: format!("{program} {}", words.join(" ")), said: last_words(&output.stderr) })
}
