//! The operator's journal: which tasks of a plan were begun, done or failed. It has the node's format
//! (`docs/formats/journal.md`), with tasks in the place of steps, and one operator at a time.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_node::Locked;
use sealock_node::journal::{self, RecordKind};
use sealock_trust::Digest;

use crate::execute::ExecuteError;

/// Why a journal cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] journal::JournalError),
    /// Another operator carries out this plan right now.
    #[error("the plan is being carried out by another process, which holds {path}", path = .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The lock cannot be taken.
    #[error("cannot lock {path}", path = .path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl From<JournalError> for ExecuteError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

/// The operator's journal of one plan, open for appending.
#[derive(Debug)]
pub struct Journal {
    inner: journal::Journal,
    /// The right to carry out plans; held by one process at a time.
    _lock: Locked,
}

impl Journal {
    /// The journal of the plan with this digest in `folder`, made where there is none.
    ///
    /// # Errors
    /// It is damaged, held by another process, or the operating system refuses.
    pub fn open(folder: &Path, plan: &Digest) -> Result<Self, JournalError> {
        let lock = lock(folder)?;
        let (inner, _) = journal::Journal::open(folder, plan)?;
        Ok(Self { inner, _lock: lock })
    }

    pub(crate) fn begun(&mut self, generation: u64) -> Result<(), JournalError> {
        self.append(RecordKind::RunBegun { generation })
    }

    pub(crate) fn task_begun(&mut self, task: &str) -> Result<(), JournalError> {
        self.append(RecordKind::Intent { step: task.into() })
    }

    pub(crate) fn task_done(&mut self, task: &str) -> Result<(), JournalError> {
        self.append(RecordKind::Done { step: task.into() })
    }

    pub(crate) fn task_failed(&mut self, task: &str, error: &str) -> Result<(), JournalError> {
        self.append(RecordKind::Failed { step: task.into(), error: error.into() })
    }

    pub(crate) fn finished(&mut self) -> Result<(), JournalError> {
        self.append(RecordKind::RunFinished)
    }

    fn append(&mut self, what: RecordKind) -> Result<(), JournalError> {
        Ok(self.inner.append(Timestamp::now(), what)?)
    }
}

/// Whether the plan with this digest was begun and not finished.
///
/// # Errors
/// Its journal is damaged, or cannot be read.
pub fn is_open(folder: &Path, plan: &Digest) -> Result<bool, JournalError> {
    let path = folder.join(plan.hex());
    if !path.exists() {
        return Ok(false);
    }
    Ok(journal::is_open(&journal::read(&path)?))
}

/// The tasks of the plan with this digest that failed in the last attempt at it.
///
/// # Errors
/// Its journal is damaged, or cannot be read.
pub fn failed(folder: &Path, plan: &Digest) -> Result<Vec<String>, JournalError> {
    let mut failed = Vec::new();
    for record in journal::read(&folder.join(plan.hex()))? {
        match record.what {
            RecordKind::RunBegun { .. } => failed.clear(),
            RecordKind::Failed { step, .. } => failed.push(step),
            _ => {}
        }
    }
    Ok(failed)
}

fn lock(folder: &Path) -> Result<Locked, JournalError> {
    let path = folder.join("lock");
    let failed = |source| JournalError::Lock { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    Locked::take(file).map_err(failed)?.ok_or_else(|| JournalError::Busy { path: path.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_open_from_its_beginning_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Digest::sha256(b"a plan");
        assert!(!is_open(folder.path(), &plan).unwrap());
        let mut journal = Journal::open(folder.path(), &plan).unwrap();
        assert!(!is_open(folder.path(), &plan).unwrap());
        journal.begun(1).unwrap();
        assert!(is_open(folder.path(), &plan).unwrap(), "before its first task");
        journal.task_begun("cp1/prepare").unwrap();
        journal.task_failed("cp1/prepare", "the disk is full").unwrap();
        assert!(is_open(folder.path(), &plan).unwrap());
        assert_eq!(failed(folder.path(), &plan).unwrap(), ["cp1/prepare"]);
        journal.begun(2).unwrap();
        assert!(failed(folder.path(), &plan).unwrap().is_empty(), "another attempt has begun");
        journal.finished().unwrap();
        assert!(!is_open(folder.path(), &plan).unwrap());
    }

    #[test]
    fn two_operators_do_not_carry_out_plans_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path(), &Digest::sha256(b"a plan")).unwrap();
        let second = Journal::open(folder.path(), &Digest::sha256(b"another"));
        assert!(matches!(second, Err(JournalError::Busy { .. })));
        drop(first);
        Journal::open(folder.path(), &Digest::sha256(b"another")).unwrap();
    }
}
