//! The node's journal: which steps of a plan were intended, done, failed or taken back (docs/formats/journal.md).
//!
//! One file per plan digest, append-only. An intent is durable before the effect, a done after the check. An incomplete
//! last record, as a power cut leaves it, is dropped; any other damage refuses.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use serde::{Deserialize, Serialize};

use crate::changes::NODE_FOLDER;
use crate::host::{self, Host, HostError};

/// The first bytes of a journal: name, and version 1 of the format.
pub const MAGIC: &[u8; 8] = b"SLKJRNL\x01";
const HEADER: usize = 8;
/// One record's payload at most.
const RECORD_LIMIT: usize = 1 << 20;
const JOURNAL_LIMIT: u64 = 64 << 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// When, by the node's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: RecordKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum RecordKind {
    /// A run has begun.
    RunBegun {
        /// The operator's generation.
        generation: u64,
    },
    /// A step's effect is about to begin.
    Intent {
        /// The step's id.
        step: String,
    },
    /// A step's effect was checked and holds.
    Done {
        /// The step's id.
        step: String,
    },
    /// A step failed.
    Failed {
        /// The step's id.
        step: String,
        /// Why.
        error: String,
    },
    /// A step was taken back.
    Undone {
        /// The step's id.
        step: String,
    },
    /// All steps of a run are done.
    RunFinished,
}

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {action} journal {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Something else than an incomplete last record is wrong.
    #[error("journal {path} is damaged at byte {offset}: {problem}", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The journal was written by a Sealock of another major version.
    #[error("journal {path} is not of a version that is read here", path = .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// A record that cannot be written.
    #[error("the journal's record cannot be written")]
    Encode(#[source] serde_json::Error),
}

/// A journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    crc: u32,
    /// After an append failed halfway nothing may follow: the torn record would become damage in the middle.
    broken: bool,
}

impl Journal {
    /// The journal of `plan` in `folder`, made if there is none, and what stands in it.
    pub fn open(folder: &Path, plan: &Digest) -> Result<(Self, Vec<Record>), JournalError> {
        fs::create_dir_all(folder).map_err(failed("make the folder of", folder))?;
        let path = folder.join(plan.hex());
        let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let mut file = options.map_err(failed("open", &path))?;
        let mut bytes = Vec::new();
        (&file).take(JOURNAL_LIMIT).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let parsed = parse(&bytes).map_err(|damage| damage.at(&path))?;
        if parsed.length < bytes.len() {
            file.set_len(parsed.length as u64).map_err(failed("cut", &path))?;
        }
        if parsed.length == 0 {
            file.write_all(MAGIC).map_err(failed("write", &path))?;
        }
        file.sync_all().map_err(failed("sync", &path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of", &path))?;
        Ok((Self { path, file, crc: parsed.crc, broken: false }, parsed.records))
    }

    /// Adds a record; it is durable when this returns.
    pub fn append(&mut self, at: Timestamp, what: RecordKind) -> Result<(), JournalError> {
        if self.broken {
            let source = io::Error::other("an earlier record could not be written");
            return Err(failed("write", &self.path)(source));
        }
        let payload = serde_json::to_vec(&Record { at, what }).map_err(JournalError::Encode)?;
        let crc = chain(self.crc, &payload);
        let mut record = Vec::with_capacity(HEADER + payload.len());
        record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        record.extend_from_slice(&crc.to_le_bytes());
        record.extend_from_slice(&payload);
        self.broken = true;
        self.file.write_all(&record).map_err(failed("write", &self.path))?;
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        self.broken = false;
        self.crc = crc;
        Ok(())
    }
}

impl Journal {
    /// Removes the journals of all other plans beside this one. Other files stay.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn forget_others(&self) -> Result<(), JournalError> {
        let (own, folder) = (self.path.file_name(), self.path.parent().unwrap_or(&self.path));
        let is_journal =
            |name: &OsStr| name.to_str().is_some_and(|name| format!("sha256:{name}").parse::<Digest>().is_ok());
        for entry in fs::read_dir(folder).map_err(failed("read the folder of", folder))? {
            let entry = entry.map_err(failed("read the folder of", folder))?;
            let name = entry.file_name();
            if Some(&*name) != own && is_journal(&name) {
                fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
            }
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of", folder))
    }
}

/// What stands in the journal at `path`.
pub fn read(path: &Path) -> Result<Vec<Record>, JournalError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    file.take(JOURNAL_LIMIT).read_to_end(&mut bytes).map_err(failed("read", path))?;
    parse(&bytes).map(|parsed| parsed.records).map_err(|damage| damage.at(path))
}

/// Whether `step` was begun on `host` by a run that has not come to its end. A journal that is damaged says nothing.
///
/// # Errors
/// The host does not let it be read.
pub fn is_under_way(host: &dyn Host, step: &str) -> Result<bool, HostError> {
    let folder = format!("{NODE_FOLDER}/journal");
    for name in host.list(&folder)? {
        let bytes = host::read(host, &format!("{folder}/{name}"), JOURNAL_LIMIT)?.unwrap_or_default();
        let Ok(parsed) = parse(&bytes) else { continue };
        let begun = |record: &Record| matches!(&record.what, RecordKind::Intent { step: begun } if begun == step);
        if is_open(&parsed.records) && parsed.records.iter().any(begun) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the plan was begun and its last run did not finish.
pub fn is_open(records: &[Record]) -> bool {
    records.last().is_some_and(|record| record.what != RecordKind::RunFinished)
}

struct Parsed {
    records: Vec<Record>,
    crc: u32,
    /// Bytes that hold whole records.
    length: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Damage {
    offset: usize,
    problem: &'static str,
    version: Option<UnknownFormat>,
}

impl Damage {
    fn at(self, path: &Path) -> JournalError {
        let path = path.to_owned();
        match self.version {
            Some(source) => JournalError::Format { path, source },
            None => JournalError::Damaged { path, offset: self.offset, problem: self.problem },
        }
    }
}

/// The version is the last byte of [`MAGIC`]; what begins otherwise is no journal at all.
fn other_version(bytes: &[u8]) -> Option<UnknownFormat> {
    let (version, name) = MAGIC.split_last()?;
    let found = bytes.strip_prefix(name)?.first().filter(|found| *found != version)?;
    format::JOURNAL.check(&format!("{}/{found}.0", format::JOURNAL.name)).err()
}

fn parse(bytes: &[u8]) -> Result<Parsed, Damage> {
    let mut parsed = Parsed { records: Vec::new(), crc: 0, length: 0 };
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) {
        return Ok(parsed);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        let problem = "it does not begin as a journal does";
        return Err(Damage { offset: 0, problem, version: other_version(bytes) });
    };
    parsed.length = MAGIC.len();
    while let Some((length, crc, after)) = header(rest) {
        let damage = |problem| Damage { offset: parsed.length, problem, version: None };
        if length > RECORD_LIMIT {
            return Err(damage("a record is longer than any can be"));
        }
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        let found = chain(parsed.crc, payload);
        if found != crc {
            // A power cut may leave the last record's length in place, and its content not.
            if after.is_empty() {
                break;
            }
            return Err(damage("a record does not have its checksum"));
        }
        let record =
            serde_json::from_slice(payload).map_err(|_| damage("a record is not one that this version knows"))?;
        parsed.records.push(record);
        parsed.crc = crc;
        parsed.length += HEADER + length;
        rest = after;
    }
    Ok(parsed)
}

fn header(bytes: &[u8]) -> Option<(usize, u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*crc), rest))
}

/// `crc32c(previous ‖ payload)`, the previous one as four bytes, little end first; 0 before the first record.
fn chain(previous: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&previous.to_le_bytes()), payload)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(folder: &Path) -> (PathBuf, Vec<u8>) {
        let plan = Digest::sha256(b"plan");
        let (mut journal, records) = Journal::open(folder, &plan).unwrap();
        assert_eq!(records, []);
        for step in ["claim", "containerd/config", "images"] {
            journal.append(Timestamp::UNIX_EPOCH, RecordKind::Intent { step: step.into() }).unwrap();
            journal.append(Timestamp::UNIX_EPOCH, RecordKind::Done { step: step.into() }).unwrap();
        }
        let path = folder.join(plan.hex());
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_journal_that_ends_anywhere_keeps_its_whole_records_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(folder.path());
        let whole = read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let (mut journal, records) = Journal::open(folder.path(), &Digest::sha256(b"plan")).unwrap();
            assert!(whole.starts_with(&records), "{length}");
            journal.append(Timestamp::UNIX_EPOCH, RecordKind::RunFinished).unwrap();
            let again = read(&path).unwrap();
            assert_eq!(again.len(), records.len() + 1, "{length}");
            assert!(!is_open(&again));
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_damage_or_a_shorter_journal(at in 0usize..400, bit in 0u8..8) {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut bytes) = written(folder.path());
            let whole = read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Err(JournalError::Damaged { .. }) => {}
                // The last byte of what it begins with is the version.
                Err(JournalError::Format { .. }) => prop_assert_eq!(at, 7),
                // In the last record, or as a length that now reaches beyond the end, it looks like a torn record.
                Ok(records) => prop_assert!(records.len() < whole.len() && whole.starts_with(&records)),
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
