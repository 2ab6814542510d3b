//! The control socket: one line asks, one line answers.
//!
//! `reload` makes the server read the current release again; the answer is `ok`, with the number of the release behind
//! it, or `error` and what is wrong. `collect`, with a [`Collect`] as JSON behind it, makes it collect garbage; the answer is
//! `ok` with an [`Outcome`] as JSON, `busy` where an import runs, or `error`. `migrate` makes it move into the store what bundles
//! lend; the answer is `ok` with a [`Migrated`] as JSON, `busy` where another process does, or `error`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealock_store::StoreError;
use sealock_store::gc::Outcome;
use sealock_store::lent::Migrated;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::ServeError;
use crate::revoked::RevokedError;
use crate::state::State;
use crate::upkeep::{Collect, Upkeep};

const LONGEST_LINE: u64 = 4096;

/// What is said about garbage names each blob of it; in bytes.
const LONGEST_OUTCOME: u64 = 1 << 30;

/// What a server says that may not write the store, or leaves it to another one.
const KEEPS_NOTHING: &str = "error this server does not keep the store\n";

/// Clients that are answered at a time.
const MOST_CLIENTS: usize = 16;

/// For a client to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a large release to be read.
const RELOAD: Duration = Duration::from_secs(120);

/// For every manifest in the store to be read, and all garbage to go.
const COLLECT: Duration = Duration::from_secs(6 * 3600);

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
    /// It could not do it now.
    #[error("the server cannot do that now: {0}")]
    Busy(String),
    /// It could not do it.
    #[error("the server could not do that: {0}")]
    Undone(String),
}

impl ControlError {
    /// The reason code: none, for what the server refused it has logged, with its code.
    pub fn code(&self) -> Option<sealock_trust::reason::Code> {
        None
    }

    /// Never: what the server refused it has logged, with its code.
    pub fn is_refusal(&self) -> bool {
        false
    }

    /// Whether trying again may help.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Talk { .. } | Self::Busy(_))
    }
}

/// Tells the server behind the socket `path` to read the current release again, and returns what it says then: `release 7`.
///
/// # Errors
/// [`ControlError`].
pub fn reload(path: &Path) -> Result<String, ControlError> {
    match ask(path, "reload", (RELOAD, LONGEST_LINE))? {
        (Word::Ok, release) => Ok(release),
        (_, problem) => Err(ControlError::Refused(problem)),
    }
}

/// Tells the server behind the socket `path` to collect garbage, or to say what it would collect.
///
/// # Errors
/// [`ControlError`]; [`ControlError::Busy`] where an import runs.
pub fn collect(path: &Path, asked: &Collect) -> Result<Outcome, ControlError> {
    let unclear = |source: serde_json::Error| ControlError::Talk { path: path.to_owned(), source: source.into() };
    let line = format!("collect {}", serde_json::to_string(asked).map_err(unclear)?);
    match ask(path, &line, (COLLECT, LONGEST_OUTCOME))? {
        (Word::Ok, outcome) => serde_json::from_str(&outcome).map_err(unclear),
        (Word::Busy, problem) => Err(ControlError::Busy(problem)),
        (Word::Error, problem) => Err(ControlError::Undone(problem)),
    }
}

/// Tells the server behind the socket `path` to move into the store what bundles lend, as fast as it can.
///
/// # Errors
/// [`ControlError`]; [`ControlError::Busy`] where another process does that.
pub fn migrate(path: &Path) -> Result<Migrated, ControlError> {
    let unclear = |source: serde_json::Error| ControlError::Talk { path: path.to_owned(), source: source.into() };
    match ask(path, "migrate", (COLLECT, LONGEST_OUTCOME))? {
        (Word::Ok, migrated) => serde_json::from_str(&migrated).map_err(unclear),
        (Word::Busy, problem) => Err(ControlError::Busy(problem)),
        (Word::Error, problem) => Err(ControlError::Undone(problem)),
    }
}

/// How an answer begins.
enum Word {
    Ok,
    Busy,
    Error,
}

fn ask(path: &Path, line: &str, (patience, longest): (Duration, u64)) -> Result<(Word, String), ControlError> {
    let talk = |source| ControlError::Talk { path: path.to_owned(), source };
    let mut stream = match BlockingStream::connect(path) {
        Err(error) if is_nobody(&error) => return Err(ControlError::NotRunning { path: path.to_owned() }),
        result => result.map_err(talk)?,
    };
    stream.set_read_timeout(Some(patience)).map_err(talk)?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(talk)?;
    let mut answer = String::new();
    BufReader::new(stream.take(longest)).read_line(&mut answer).map_err(talk)?;
    let (word, rest) = answer.trim_end().split_once(' ').unwrap_or_default();
    let word = match word {
        "ok" => Word::Ok,
        "busy" => Word::Busy,
        "error" => Word::Error,
        _ => return Err(talk(io::ErrorKind::UnexpectedEof.into())),
    };
    Ok((word, rest.to_owned()))
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

    /// Answers its clients, for ever: one that waits for garbage to go keeps no other from its answer.
    pub(crate) async fn run(&self, state: &Arc<State>, upkeep: Option<&Arc<Upkeep>>) {
        let mut talks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if talks.len() < MOST_CLIENTS => accepted,
                Some(_) = talks.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    talks.spawn(answer(stream, state.clone(), upkeep.cloned()));
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket is gone; new releases are found by looking");
                    return;
                }
            }
        }
    }
}

async fn answer(stream: UnixStream, state: Arc<State>, upkeep: Option<Arc<Upkeep>>) {
    if let Err(error) = talk(stream, &state, upkeep).await {
        tracing::warn!(%error, "a client of the control socket went away");
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

async fn talk(stream: UnixStream, state: &Arc<State>, upkeep: Option<Arc<Upkeep>>) -> io::Result<()> {
    let mut reader = AsyncBufReader::new(stream);
    let mut line = String::new();
    timeout(PATIENCE, (&mut reader).take(LONGEST_LINE).read_line(&mut line)).await??;
    let answer = match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
        ("reload", _) => match reload_release(state).await {
            Ok(release) => format!("ok {release}\n"),
            Err(problem) => format!("error {}\n", problem.replace('\n', " ")),
        },
        ("collect", asked) => collected(asked, upkeep).await,
        ("migrate", _) => migrated(upkeep).await,
        _ => "error unknown command\n".to_owned(),
    };
    timeout(PATIENCE.max(Duration::from_secs(answer.len() as u64 >> 20)), reader.write_all(answer.as_bytes())).await?
}

/// Collects garbage on a blocking thread, and says in one line what came of it.
async fn collected(asked: &str, upkeep: Option<Arc<Upkeep>>) -> String {
    let Some(upkeep) = upkeep else { return KEEPS_NOTHING.to_owned() };
    let Ok(asked) = serde_json::from_str::<Collect>(asked) else { return "error unknown request\n".to_owned() };
    let collect = move || said(&upkeep.collect(asked));
    tokio::task::spawn_blocking(collect).await.unwrap_or_else(|error| format!("error {error}\n"))
}

/// Migrates on a blocking thread, and says in one line what came of it.
async fn migrated(upkeep: Option<Arc<Upkeep>>) -> String {
    let Some(upkeep) = upkeep else { return KEEPS_NOTHING.to_owned() };
    let migrate = move || said(&upkeep.migrate_at_once().map_err(RevokedError::from));
    tokio::task::spawn_blocking(migrate).await.unwrap_or_else(|error| format!("error {error}\n"))
}

/// In one line.
fn said<T: Serialize>(done: &Result<T, RevokedError>) -> String {
    match done {
        Ok(outcome) => serde_json::to_string(outcome)
            .map_or_else(|error| format!("error {error}\n"), |outcome| format!("ok {outcome}\n")),
        Err(error) => {
            let is_busy = matches!(error, RevokedError::Store(StoreError::Locked { .. }));
            let word = if is_busy { "busy" } else { "error" };
            format!("{word} {}\n", with_causes(error).replace('\n', " "))
        }
    }
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
