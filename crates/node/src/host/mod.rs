//! The machine that steps act on.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use sealock_trust::{Algorithm, Digest, Hasher};

use crate::step::Mode;

mod local;

pub use local::Local;

/// The machine that steps act on. Paths are absolute.
pub trait Host {
    /// What stands at `path`; links are not followed.
    fn inspect(&self, path: &str) -> Result<Entry, HostError>;

    /// Opens the file at `path`; links are followed.
    fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError>;

    /// The names in folder `path`, sorted; none where there is no such folder.
    fn list(&self, path: &str) -> Result<Vec<String>, HostError>;

    /// Writes the file at `path` as one durable change: a temporary file beside it, fsync, rename, fsync of the folder. If
    /// `content` fails, the file stays as it was.
    fn write(&self, path: &str, mode: Mode, content: &mut dyn Read) -> Result<(), HostError>;

    /// Changes what stands at a path.
    fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError>;

    /// Runs a program to its end. A program that says no is an [`Output`], not an error.
    fn run(&self, command: &Command) -> Result<Output, HostError>;
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Missing,
    /// A regular file.
    File {
        /// Its permission bits.
        mode: Mode,
        /// Its length in bytes.
        size: u64,
    },
    /// A folder.
    Directory {
        /// Its permission bits.
        mode: Mode,
    },
    /// A symbolic link.
    Link {
        /// What it points to, as it is written.
        target: String,
    },
    /// A device, socket or pipe.
    Other,
}

/// A change to what stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration<'a> {
    /// Makes the folder and its parents; one that exists stays as it is.
    MakeDirectory {
        /// Where.
        path: &'a str,
        /// Of the folder itself.
        mode: Mode,
    },
    /// Points a link at `target`, replacing an older link in one step.
    Link {
        /// Where.
        path: &'a str,
        /// To what.
        target: &'a str,
    },
    /// Gives what stands at `path` the name `target`, on the same file system. Nothing may stand there yet.
    Move {
        /// Which.
        path: &'a str,
        /// Its new name.
        target: &'a str,
    },
    /// Removes a file or link; nothing there is fine.
    RemoveFile {
        /// Which.
        path: &'a str,
    },
    /// Removes a folder if it is empty; nothing there is fine.
    RemoveEmptyDirectory {
        /// Which.
        path: &'a str,
    },
    /// Removes a folder with all that is in it, without crossing into another file system; nothing there is fine.
    RemoveTree {
        /// Which.
        path: &'a str,
    },
}

/// A program to run, with a clean environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name, found in the usual places.
    pub program: String,
    /// Its arguments. Never a secret: every user of the host can read them.
    pub args: Vec<String>,
    /// What it reads on standard input.
    pub stdin: Vec<u8>,
    /// Variables beyond `PATH`, `HOME` and `LC_ALL`.
    pub env: BTreeMap<String, String>,
    /// How long it may take before it is killed.
    pub timeout: Duration,
}

impl Command {
    /// `program` with `args`, one minute at most.
    pub fn new<A: Into<String>>(program: &str, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// With another time limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With something to read on standard input.
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Program and arguments on one line.
    pub fn line(&self) -> String {
        [&self.program].into_iter().chain(&self.args).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Runs it, and takes an exit status other than zero as an error.
    pub fn must(&self, host: &dyn Host) -> Result<String, HostError> {
        let output = host.run(self)?;
        if output.status != 0 {
            return Err(HostError::Command { line: self.line(), status: output.status, detail: output.complaint() });
        }
        Ok(output.stdout)
    }

    /// Runs it, and tells whether it said yes.
    pub fn succeeds(&self, host: &dyn Host) -> Result<bool, HostError> {
        Ok(host.run(self)?.status == 0)
    }
}

/// What a program said. Texts are cut to their last 1 MiB, and bytes that are not UTF-8 are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 plus the signal's number if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The last lines of what it complained about.
    pub fn complaint(&self) -> String {
        const LINES: usize = 12;
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// Why the host could not do it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The program is not on this host.
    #[error("the program {program} is not on this host")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// The program said no.
    #[error("`{line}` ended with status {status}: {detail}")]
    Command {
        /// Program and arguments.
        line: String,
        /// Its exit status.
        status: i32,
        /// The end of what it wrote.
        detail: String,
    },
    /// The program took too long and was killed.
    #[error("`{line}` was killed: it had not ended after {seconds} s: {detail}")]
    Timeout {
        /// Program and arguments.
        line: String,
        /// Its time limit.
        seconds: u64,
        /// The end of what it wrote.
        detail: String,
    },
    /// A file that is larger than it can honestly be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: String,
        /// How much was expected at most.
        limit: u64,
    },
}

impl HostError {
    /// For `map_err`: `source` happened at trying `action` on `path`.
    pub fn io(action: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }

    /// The same, with `hide` applied to what a program wrote.
    pub(crate) fn hiding(self, hide: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Command { line, status, detail } => Self::Command { line, status, detail: hide(&detail) },
            Self::Timeout { line, seconds, detail } => Self::Timeout { line, seconds, detail: hide(&detail) },
            other => other,
        }
    }

    /// It cannot be moved: it is the top of a file system, or the target is on another one.
    pub fn is_another_file_system(&self) -> bool {
        use io::ErrorKind::{CrossesDevices, ResourceBusy};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), CrossesDevices | ResourceBusy))
    }

    /// The file or program that was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The whole content of the file at `path`, at most `limit` bytes; nothing where there is none.
pub fn read(host: &dyn Host, path: &str, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
    let reader = match host.open(path) {
        Ok(reader) => reader,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    reader.take(limit + 1).read_to_end(&mut content).map_err(HostError::io("read", path))?;
    if content.len() as u64 > limit {
        return Err(HostError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(content))
}

/// Like [`read`], as text of at most 1 MiB; bytes that are not UTF-8 are replaced.
pub fn read_text(host: &dyn Host, path: &str) -> Result<Option<String>, HostError> {
    let content = read(host, path, 1 << 20)?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// The SHA-256 digest of the file at `path`.
pub fn digest(host: &dyn Host, path: &str) -> Result<Digest, HostError> {
    digest_as(host, path, Algorithm::Sha256)
}

/// The digest of the file at `path`, by the algorithm of the one that it is compared with.
pub fn digest_as(host: &dyn Host, path: &str, algorithm: Algorithm) -> Result<Digest, HostError> {
    let mut reader = host.open(path)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HostError::io("read", path)(error)),
        };
        hasher.update(&buffer[..count]);
    }
}

/// Writes `content` to the file at `path` as one durable change.
pub fn write(host: &dyn Host, path: &str, mode: Mode, content: &[u8]) -> Result<(), HostError> {
    host.write(path, mode, &mut &content[..])
}

/// True if anything stands at `path`.
pub fn exists(host: &dyn Host, path: &str) -> Result<bool, HostError> {
    Ok(host.inspect(path)? != Entry::Missing)
}

/// The folder that holds `path`.
pub fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}
