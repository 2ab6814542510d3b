//! Helm and kubectl of the release, run with a bare environment: nothing of the station's user leaks into them.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::execute::last_words;

/// What a program may write; in bytes. All objects of a large cluster are less.
const LARGEST: u64 = 256 << 20;

/// Why a program of the release did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It failed.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// It did not end.
    #[error("`{command}` did not end within {seconds} s")]
    Late {
        /// What was run.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// All that such a program sees of the station: a home of its own, which goes away afterwards, and a cluster.
#[derive(Debug)]
pub(crate) struct Surroundings {
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Surroundings {
    /// A new folder in `parent`, with a copy of `kubeconfig`: programs may change theirs. It is open to its owner only.
    pub(crate) fn new(parent: &Path, kubeconfig: &Path) -> Result<Self, ProgramError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ProgramError::Io { action, path, source }
        };
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("run-").permissions(Permissions::from_mode(0o700)).tempdir_in(parent);
        let folder = folder.map_err(failed("make a folder in", parent))?;
        let copy = folder.path().join("kubeconfig");
        std::fs::copy(kubeconfig, &copy).map_err(failed("read", kubeconfig))?;
        Ok(Self { folder, kubeconfig: copy })
    }

    /// The home.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `program`, gives it `stdin`, and answers what it wrote.
    pub(crate) async fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Vec<u8>, ProgramError> {
        let output = self.output(program, arguments, stdin, limit).await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let words: Vec<&str> = arguments.iter().take(3).copied().collect();
        let command = format!("{} {}", name_of(program), words.join(" "));
        Err(ProgramError::Failed { command, said: last_words(&output.stderr) })
    }

    async fn output(
        &self,
        program: &Path,
        arguments: &[&str],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Output, ProgramError> {
        let failed = |source| ProgramError::Io { action: "run", path: program.into(), source };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let pipe = child.stdin.take();
        let feed = async {
            if let Some(mut pipe) = pipe {
                // A program that does not read all of it says why when it ends.
                let _ = pipe.write_all(stdin).await;
            }
            Ok(())
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::time::timeout(limit, async {
            let ((), stdout, stderr) = tokio::try_join!(feed, bounded(stdout), bounded(stderr))?;
            Ok(Output { status: child.wait().await?, stdout, stderr })
        });
        let late = |_| ProgramError::Late { command: name_of(program), seconds: limit.as_secs() };
        ended.await.map_err(late)?.map_err(failed)
    }
}

/// All that comes of `pipe`: what an API server or a chart makes a program write does not fill the station's memory.
async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    }
    match bytes.len() as u64 {
        0..=LARGEST => Ok(bytes),
        _ => Err(io::Error::other(format!("it writes more than {LARGEST} bytes"))),
    }
}

fn name_of(program: &Path) -> String {
    program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<Vec<u8>, ProgramError> {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, "").unwrap();
        let surroundings = Surroundings::new(folder.path(), &kubeconfig).unwrap();
        let arguments = ["-c", script];
        let run = surroundings.run(Path::new("/bin/sh"), &arguments, b"asked", Duration::from_secs(120));
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run)
    }

    #[test]
    fn what_it_writes_is_answered_and_what_fails_says_why() {
        assert_eq!(run("cat; echo beside >&2").unwrap(), b"asked");
        assert!(run("echo why >&2; exit 3").unwrap_err().to_string().ends_with("failed: why"));
    }

    #[test]
    fn a_program_that_writes_without_end_does_not_fill_the_memory() {
        let error = run("exec cat /dev/zero").unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains("it writes more than"), "{error}: {source}");
    }
}
