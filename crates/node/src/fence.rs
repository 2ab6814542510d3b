//! The fence: which operator may change this node, and that only one run does so at a time.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::reason::Code;
use serde::{Deserialize, Serialize};

use crate::Locked;
use crate::facts::FenceFact;

const FILE: &str = "fence";
const LOCK: &str = "lock";
const FORMAT: &str = format::NODE_FENCE.current;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: String,
    #[serde(flatten)]
    fence: Fields,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    generation: u64,
    nonce: String,
}

/// Why a run may not begin.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file does not hold a fence.
    #[error("{path} is damaged", path = .0.display())]
    Damaged(PathBuf),
    /// The file was written by a Sealock of another major version.
    #[error("{} is not of a version that is read here", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// Another operator came later.
    #[error(
        "another operator has taken over: this run has generation {asked}, and the node has seen generation {seen}"
    )]
    Stale {
        /// The run's generation.
        asked: u64,
        /// The highest that the node has seen.
        seen: u64,
    },
    /// Another run is under way.
    #[error("another run is changing this node right now")]
    Busy,
}

impl FenceError {
    /// True where trying the same again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Stale { .. } => Some(Code::StalePlan),
            Self::Format { source, .. } => Some(source.code()),
            Self::Io { .. } | Self::Damaged(_) | Self::Busy => None,
        }
    }
}

/// The right to change the node, until it is dropped.
#[derive(Debug)]
pub struct Fence {
    _lock: Locked,
}

impl Fence {
    /// Takes the node for a run with `generation` and `nonce`. A lower generation than one seen before is refused, and so is
    /// the same one with another nonce. The claim is durable when this returns.
    pub fn claim(folder: &Path, generation: u64, nonce: &str) -> Result<Self, FenceError> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let lock = lock(&folder.join(LOCK))?;
        match current(folder)? {
            Some(seen) if seen.generation > generation || (seen.generation == generation && seen.nonce != nonce) => {
                return Err(FenceError::Stale { asked: generation, seen: seen.generation });
            }
            Some(seen) if seen.generation == generation => {}
            _ => write(&folder.join(FILE), generation, nonce)?,
        }
        Ok(Self { _lock: lock })
    }
}

/// The fence as it stands in `folder`.
pub fn current(folder: &Path) -> Result<Option<FenceFact>, FenceError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let unknown = |source| FenceError::Format { path: path.clone(), source };
    format::NODE_FENCE.look(&text).map_err(unknown)?;
    let record: Record = serde_json::from_slice(&text).map_err(|_| FenceError::Damaged(path))?;
    Ok(Some(FenceFact { generation: record.fence.generation, nonce: record.fence.nonce }))
}

fn lock(path: &Path) -> Result<Locked, FenceError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed("open", path))?;
    Locked::take(file).map_err(failed("lock", path))?.ok_or(FenceError::Busy)
}

fn write(path: &Path, generation: u64, nonce: &str) -> Result<(), FenceError> {
    let record = Record { format: FORMAT.to_owned(), fence: Fields { generation, nonce: nonce.to_owned() } };
    let text = serde_json::to_vec(&record).map_err(|error| failed("write", path)(error.into()))?;
    sealock_trust::durable::replace(path, &text).map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FenceError {
    let path = path.to_owned();
    move |source| FenceError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_operator_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let claim = |generation, nonce| Fence::claim(folder.path(), generation, nonce).map(drop);
        assert!(claim(3, "a").is_ok());
        assert!(claim(3, "a").is_ok(), "the same operator goes on");
        assert!(matches!(claim(3, "b"), Err(FenceError::Stale { asked: 3, seen: 3 })));
        assert!(matches!(claim(2, "a"), Err(FenceError::Stale { asked: 2, seen: 3 })));
        assert!(claim(4, "b").is_ok());
        assert_eq!(current(folder.path()).unwrap().unwrap().nonce, "b");
    }

    #[test]
    fn two_runs_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let first = Fence::claim(folder.path(), 1, "a").unwrap();
        assert!(matches!(Fence::claim(folder.path(), 1, "a"), Err(FenceError::Busy)));
        drop(first);
        assert!(Fence::claim(folder.path(), 1, "a").is_ok());
    }

    #[test]
    fn a_damaged_fence_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), b"{").unwrap();
        assert!(matches!(Fence::claim(folder.path(), 9, "a"), Err(FenceError::Damaged(_))));
    }
}
