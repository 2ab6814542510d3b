//! The operator's journal: which tasks of a plan were begun, done or failed. One file per plan digest, append-only
//! (`docs/formats/journal.md`); the node has one of its own for the steps.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::execute::ExecuteError;

/// The first bytes of a journal: name, and version 1 of the format.
const MAGIC: &[u8; 8] = b"SLKJRNL\x01";
/// One record's payload at most; ours are short.
const MAX_RECORD: usize = 1 << 20;

/// Why a journal cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else than an incomplete last record is wrong with it.
    #[error("{path} is damaged at byte {offset}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
    /// Another operator carries out this plan right now.
    #[error("the plan is being carried out by another process: {path} is locked", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

impl From<JournalError> for ExecuteError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// When, by the station's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: RecordKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum RecordKind {
    /// A task is about to begin.
    TaskBegun {
        /// The task.
        task: String,
    },
    /// All steps of a task are done.
    TaskDone {
        /// The task.
        task: String,
    },
    /// A task failed.
    TaskFailed {
        /// The task.
        task: String,
        /// Why.
        error: String,
    },
    /// All tasks are done: the plan is carried out.
    Finished,
}

/// The operator's journal of one plan, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    crc: u32,
    records: Vec<Record>,
}

impl Journal {
    /// The journal of the plan with this digest in `folder`, made where there is none. An incomplete last record is
    /// dropped.
    ///
    /// # Errors
    /// It is damaged, locked by another process, or the operating system refuses.
    pub fn open(folder: &Path, plan: &Digest) -> Result<Self, JournalError> {
        let path = folder.join(plan.hex());
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { action, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| JournalError::Busy { path: path.clone() })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let (records, crc, length) = parse(&path, &bytes)?;
        if length < bytes.len() {
            file.set_len(length as u64).map_err(failed("cut", &path))?;
        }
        if length == 0 {
            file.write_all(MAGIC).map_err(failed("write", &path))?;
            sync(&file, folder).map_err(failed("sync", &path))?;
        }
        Ok(Self { path, file, crc, records })
    }

    /// What happened so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether the plan was begun and not finished.
    pub fn is_open(&self) -> bool {
        self.records.last().is_some_and(|record| record.what != RecordKind::Finished)
    }

    pub(crate) fn task_begun(&mut self, task: &str) -> Result<(), JournalError> {
        self.append(RecordKind::TaskBegun { task: task.into() })
    }

    pub(crate) fn task_done(&mut self, task: &str) -> Result<(), JournalError> {
        self.append(RecordKind::TaskDone { task: task.into() })
    }

    pub(crate) fn task_failed(&mut self, task: &str, error: &str) -> Result<(), JournalError> {
        self.append(RecordKind::TaskFailed { task: task.into(), error: error.into() })
    }

    pub(crate) fn finished(&mut self) -> Result<(), JournalError> {
        self.append(RecordKind::Finished)
    }

    /// Durable when it returns.
    fn append(&mut self, what: RecordKind) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io { action: "write", path: self.path.clone(), source };
        let record = Record { at: Timestamp::now(), what };
        let payload = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        let crc = chain(self.crc, &payload);
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.extend(crc.to_le_bytes());
        frame.extend(&payload);
        self.file.write_all(&frame).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        self.crc = crc;
        self.records.push(record);
        Ok(())
    }
}

fn sync(file: &File, folder: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn chain(previous: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&previous.to_le_bytes()), payload)
}

/// The records in `bytes`, the last one's checksum, and how many bytes are good.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, u32, usize), JournalError> {
    let damaged = |offset| JournalError::Damaged { path: path.into(), offset };
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) {
        return Ok((Vec::new(), 0, 0));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(damaged(0));
    }
    let mut records = Vec::new();
    let (mut crc, mut offset) = (0, MAGIC.len());
    while let Some((head, rest)) = bytes[offset..].split_first_chunk::<8>() {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = word(0) as usize;
        if length > MAX_RECORD {
            return Err(damaged(offset));
        }
        let Some(payload) = rest.get(..length) else { break };
        let expected = chain(crc, payload);
        if word(4) != expected {
            // A crash may leave the last record's length in place and its content not.
            if rest.len() == length {
                break;
            }
            return Err(damaged(offset));
        }
        records.push(serde_json::from_slice(payload).map_err(|_| damaged(offset))?);
        crc = expected;
        offset += 8 + length;
    }
    Ok((records, crc, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Digest {
        Digest::sha256(b"a plan")
    }

    fn names(journal: &Journal) -> Vec<RecordKind> {
        journal.records().iter().map(|record| record.what.clone()).collect()
    }

    #[test]
    fn what_was_written_is_read_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), &plan()).unwrap();
        assert!(!journal.is_open());
        journal.task_begun("cp1/prepare").unwrap();
        assert!(journal.is_open());
        drop(journal);
        let mut journal = Journal::open(folder.path(), &plan()).unwrap();
        journal.task_done("cp1/prepare").unwrap();
        journal.finished().unwrap();
        drop(journal);
        let journal = Journal::open(folder.path(), &plan()).unwrap();
        assert!(!journal.is_open());
        assert_eq!(
            names(&journal),
            [
                RecordKind::TaskBegun { task: "cp1/prepare".into() },
                RecordKind::TaskDone { task: "cp1/prepare".into() },
                RecordKind::Finished
            ]
        );
    }

    #[test]
    fn two_operators_do_not_carry_out_one_plan() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Journal::open(folder.path(), &plan()).unwrap();
        assert!(matches!(Journal::open(folder.path(), &plan()), Err(JournalError::Busy { .. })));
    }

    #[test]
    fn every_cut_drops_the_last_record_and_no_more_and_every_flip_before_it_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), &plan()).unwrap();
        journal.task_begun("a").unwrap();
        let first = std::fs::metadata(&journal.path).unwrap().len() as usize;
        journal.task_begun("b").unwrap();
        let path = journal.path.clone();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::open(folder.path(), &plan()).unwrap();
            assert_eq!(names(&journal), [RecordKind::TaskBegun { task: "a".into() }], "cut at {cut}");
        }
        for at in 0..first {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, &bytes).unwrap();
            let outcome = Journal::open(folder.path(), &plan());
            // A length that grew past the end looks like an incomplete record; all else is damage.
            let looks_incomplete = (8..12).contains(&at);
            assert!(outcome.is_err() || looks_incomplete, "flip at {at}");
        }
    }
}
