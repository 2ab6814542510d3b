//! The control socket: one line asks, one line answers.
//!
//! `reload` makes the server read the current release again; the answer is `ok`, with the number of the release behind
//! it, or `error` and what is wrong.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::error::ServeError;
use crate::state::State;

const LONGEST_LINE: u64 = 4096;

/// For a client to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a large release to be read.
const RELOAD: Duration = Duration::from_secs(120);

/// Why a running server was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is none: it will find the new release when it starts.
    #[error("no server answers on {path}", path = .path.display())]
    NotRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// It did not answer as it should.
    #[error("the server behind {path} did not answer", path = .path.display())]
    Talk {
        /// The control socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It could not read the release; it goes on serving the one before.
    #[error("the server could not read the new release: {0}")]
    Refused(String),
}

impl ControlError {
    /// Never: what the server refused it has logged, with its code.
    pub fn is_refusal(&self) -> bool {
        false
    }
}

/// Tells the server behind the socket `path` to read the current release again, and returns what it says then: `release 7`.
///
/// # Errors
/// [`ControlError`].
pub fn reload(path: &Path) -> Result<String, ControlError> {
    let talk = |source| ControlError::Talk { path: path.to_owned(), source };
    let mut stream = match BlockingStream::connect(path) {
        Err(error) if is_nobody(&error) => return Err(ControlError::NotRunning { path: path.to_owned() }),
        result => result.map_err(talk)?,
    };
    stream.set_read_timeout(Some(RELOAD)).map_err(talk)?;
    stream.write_all(b"reload\n").map_err(talk)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut answer).map_err(talk)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", release)) => Ok(release.to_owned()),
        Some(("error", problem)) => Err(ControlError::Refused(problem.to_owned())),
        _ => Err(talk(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The listening end. The file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Takes the place of a socket that a killed server left, but not of one that is answered.
    pub(crate) fn bind(path: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Control { path: path.to_owned(), source };
        match BlockingStream::connect(path) {
            Ok(_) => return Err(ServeError::AlreadyRunning { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Only who may write the store may talk to its server.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers one client after the other, for ever.
    pub(crate) async fn run(&self, state: &Arc<State>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = talk(stream, state).await {
                        tracing::warn!(%error, "a client of the control socket went away");
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket is gone; new releases are found by looking");
                    return;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

async fn talk(stream: UnixStream, state: &Arc<State>) -> io::Result<()> {
    let mut reader = AsyncBufReader::new(stream);
    let mut line = String::new();
    timeout(PATIENCE, (&mut reader).take(LONGEST_LINE).read_line(&mut line)).await??;
    let answer = match line.trim_end() {
        "reload" => match reload_release(state).await {
            Ok(release) => format!("ok {release}\n"),
            Err(problem) => format!("error {}\n", problem.replace('\n', " ")),
        },
        _ => "error unknown command\n".to_owned(),
    };
    timeout(PATIENCE, reader.write_all(answer.as_bytes())).await?
}

/// Reads the current release on a blocking thread, and says which one it is.
pub(crate) async fn reload_release(state: &Arc<State>) -> Result<String, String> {
    let state = state.clone();
    let reload = move || match state.reload() {
        Ok(release) => Ok(crate::describe(release)),
        Err(error) => {
            let problem = with_causes(&error);
            tracing::error!(problem, "the current release cannot be read; the one before stays");
            Err(problem)
        }
    };
    tokio::task::spawn_blocking(reload).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
