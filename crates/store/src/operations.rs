//! The operation log: one line of canonical JSON per change of the store, chained by digests (docs/formats/operation-log.md).
//!
//! A change is recorded before it is made. What a cut-off change left behind is settled, and recorded, by the next writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::json::jcs;
use serde::{Deserialize, Serialize};

use crate::error::{IoContext, StoreError};
use crate::failpoint;

/// No record is longer than this; in bytes.
const LONGEST_RECORD: u64 = 64 * 1024;

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Operation {
    /// A release is about to be published.
    Publish {
        /// Its number.
        release: u64,
        /// The SHA-256 digest of its file.
        digest: Digest,
    },
    /// The release was published.
    Published {
        /// Its number.
        release: u64,
    },
    /// Sealock's own binary is about to be replaced.
    Update {
        /// The binary.
        path: String,
        /// The version that takes its place.
        version: String,
        /// The SHA-256 digest of what takes its place.
        digest: Digest,
        /// The SHA-256 digest of what is replaced, and kept beside it.
        #[serde(rename = "previous-binary")]
        previous_binary: Digest,
    },
    /// The binary was replaced.
    Updated {
        /// The binary.
        path: String,
        /// The SHA-256 digest of what is there now.
        digest: Digest,
    },
    /// The publishing was cut off before the release became current, and undone.
    Abandoned {
        /// Its number.
        release: u64,
    },
    /// The release is live no more: nothing is kept for its sake.
    Retire {
        /// Its number.
        release: u64,
    },
    /// The release stays live, whatever the site's retention says.
    Pin {
        /// Its number.
        release: u64,
    },
    /// The site's retention holds for the release again.
    Unpin {
        /// Its number.
        release: u64,
    },
    /// The garbage collector is about to delete blobs; of those that somebody is promised at the last moment, none.
    Collect {
        /// Their digests.
        blobs: Vec<Digest>,
    },
    /// The garbage collector deleted blobs.
    Collected {
        /// How many.
        blobs: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A blob has rotted, and is about to be moved into quarantine.
    Quarantine {
        /// Its digest.
        blob: Digest,
        /// What is wrong with it.
        problem: String,
    },
    /// A blob that had rotted, or was lost, is about to be put back.
    Heal {
        /// Its digest.
        blob: Digest,
    },
}

/// One line of the operation log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// When, by the clock of the writer.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub operation: Operation,
    /// The SHA-256 digest of the line before, without its line feed; none in the first line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
}

/// Every record of the log at `path`. An incomplete last line, as a power loss leaves it, is passed over.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.during("read", path)?,
    };
    let mut records = Vec::new();
    let mut previous = None;
    for (index, line) in whole_lines(&text).enumerate() {
        let damaged = |problem: String| StoreError::DamagedLog { path: path.to_owned(), line: index + 1, problem };
        let record: Record = parse(line).map_err(damaged)?;
        if record.previous != previous {
            return Err(damaged("it does not follow the line before it".into()));
        }
        previous = Some(Digest::sha256(line));
        records.push(record);
    }
    Ok(records)
}

/// The last whole record, without reading the log from its start.
pub(crate) fn last(path: &Path) -> Result<Option<Record>, StoreError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.during("open", path)?,
    };
    let Some((line, _)) = last_line(&mut file).during("read", path)? else { return Ok(None) };
    parse(&line).map(Some).map_err(|problem| StoreError::DamagedLog { path: path.to_owned(), line: 0, problem })
}

/// Adds a record behind the last whole one. Durable when it returns.
pub(crate) fn append(path: &Path, at: Timestamp, operation: Operation) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path).during("open", path)?;
    let (previous, end) = match last_line(&mut file).during("read", path)? {
        Some((line, end)) => (Some(Digest::sha256(&line)), end),
        None => (None, 0),
    };
    let record = Record { at, operation, previous };
    let mut line = jcs::to_vec(&record).map_err(io::Error::other).during("write", path)?;
    line.push(b'\n');
    write_at_end(&mut file, end, &line).during("write", path)
}

/// Cuts off what a power loss left half written, then writes and syncs.
fn write_at_end(file: &mut File, end: u64, line: &[u8]) -> io::Result<()> {
    failpoint::hit("write log")?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(line)?;
    failpoint::hit("sync log")?;
    file.sync_all()
}

/// The last line that ends in a line feed, without it, and the offset behind it; nothing in a log without a whole line.
fn last_line(file: &mut File) -> io::Result<Option<(Vec<u8>, u64)>> {
    let length = file.seek(SeekFrom::End(0))?;
    // The last whole line and the half-written one behind it.
    let from = length.saturating_sub(2 * LONGEST_RECORD);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(2 * LONGEST_RECORD).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') else { return Ok(None) };
    let start = tail[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    Ok(Some((tail[start..end].to_vec(), from + end as u64 + 1)))
}

fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

fn parse(line: &[u8]) -> Result<Record, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}
