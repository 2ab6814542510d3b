//! The operation log: one line of canonical JSON per change of the store, chained by digests (docs/formats/operation-log.md).
//!
//! A change is recorded before it is made. What a cut-off change left behind is settled, and recorded, by the next writer.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::json::jcs;
use serde::{Deserialize, Serialize};

use crate::durable::{parent_of, sync_folder};
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

/// Every record of the log at `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    each(path, |record| records.push(record))?;
    Ok(records)
}

/// Gives every record of the log at `path` to `hear`, oldest first, and holds one at a time: the log tells of every blob that was
/// ever deleted. A last line that is not whole, as a power loss leaves it, is passed over.
pub(crate) fn each(path: &Path, mut hear: impl FnMut(Record)) -> Result<(), StoreError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => BufReader::new(result.during("open", path)?),
    };
    let (mut line, mut previous) = (Vec::new(), None);
    for number in 1.. {
        line.clear();
        file.read_until(b'\n', &mut line).during("read", path)?;
        if line.pop() != Some(b'\n') || (line.contains(&0) && is_last(&mut file).during("read", path)?) {
            break;
        }
        let damaged = |problem: String| StoreError::DamagedLog { path: path.to_owned(), line: number, problem };
        let record: Record = parse(&line).map_err(damaged)?;
        if record.previous != previous {
            return Err(damaged("it does not follow the line before it".into()));
        }
        previous = Some(Digest::sha256(&line));
        hear(record);
    }
    Ok(())
}

/// The last whole record, without reading the log from its start.
pub(crate) fn last(path: &Path) -> Result<Option<Record>, StoreError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.during("open", path)?,
    };
    let Some(line) = last_line(&mut file).during("read", path)? else { return Ok(None) };
    parse(&line.text).map(Some).map_err(|problem| StoreError::DamagedLog { path: path.to_owned(), line: 0, problem })
}

/// Adds a record behind the last whole one. Durable when it returns.
pub(crate) fn append(path: &Path, at: Timestamp, operation: Operation) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path).during("open", path)?;
    let last = last_line(&mut file).during("read", path)?;
    if last.is_none() {
        sync_folder(parent_of(path))?;
    }
    let record = Record { at, operation, previous: last.as_ref().map(|last| Digest::sha256(&last.text)) };
    let mut line = jcs::to_vec(&record).map_err(io::Error::other).during("write", path)?;
    line.push(b'\n');
    write_at_end(&mut file, last.map_or(0, |last| last.end), &line).during("write", path)
}

/// Makes the last line durable, which a writer may have left that was cut off before it had synced it, or whose sync failed: readers see
/// it, and whoever acts on it must not see it go. Written anew, since no later sync would see to what an earlier one has failed on.
pub(crate) fn write_again(path: &Path) -> Result<(), StoreError> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.during("open", path)?,
    };
    let Some(line) = last_line(&mut file).during("read", path)? else { return Ok(()) };
    let mut write = || {
        failpoint::hit("write log again")?;
        file.seek(SeekFrom::Start(line.start))?;
        file.write_all(&line.text)?;
        failpoint::hit("sync log again")?;
        file.sync_all()
    };
    match write().during("write", path) {
        // Whoever makes room on a full disk needs the lock; there are filesystems that need room for this.
        Err(StoreError::DiskFull { .. }) => {
            tracing::warn!("there is no room to write the last line of the operation log once more");
            Ok(())
        }
        result => result,
    }
}

/// Cuts off what a power loss left half written, then writes and syncs.
fn write_at_end(file: &mut File, end: u64, line: &[u8]) -> io::Result<()> {
    failpoint::hit("write log")?;
    if file.metadata()?.len() > end {
        file.set_len(end)?;
        // Or else a sector of the one line could stay beside a sector of the other.
        failpoint::hit("sync cut of log")?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(end))?;
    file.write_all(line)?;
    let synced = failpoint::hit("sync log").and_then(|()| file.sync_all());
    if synced.is_err() {
        // Nobody was told of it.
        let _ = file.set_len(end);
    }
    synced
}

/// A line of the log, and where it stands.
struct Line {
    /// Without its line feed.
    text: Vec<u8>,
    start: u64,
    /// Behind its line feed.
    end: u64,
}

/// The last whole line; nothing in a log without one.
fn last_line(file: &mut File) -> io::Result<Option<Line>> {
    let length = file.seek(SeekFrom::End(0))?;
    // The last whole line, and the half-written ones behind it.
    let from = length.saturating_sub(3 * LONGEST_RECORD);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(3 * LONGEST_RECORD).read_to_end(&mut tail)?;
    let whole = whole(&tail);
    let Some(text) = whole.strip_suffix(b"\n") else { return Ok(None) };
    let start = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = text[start..].to_vec();
    Ok(Some(Line { text, start: from + start as u64, end: from + whole.len() as u64 }))
}

/// The whole lines of a log. What is behind them was cut off by a power loss while it was written: it has no line feed, or bytes of
/// it never reached the disk, which reads them as zeros.
fn whole(text: &[u8]) -> &[u8] {
    let behind = |text: &[u8]| text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let end = behind(text);
    let start = behind(&text[..end.saturating_sub(1)]);
    if text[start..end].contains(&0) { &text[..start] } else { &text[..end] }
}

/// Whether no whole line follows.
fn is_last(file: &mut impl BufRead) -> io::Result<bool> {
    let mut next = Vec::new();
    file.read_until(b'\n', &mut next)?;
    Ok(next.last() != Some(&b'\n'))
}

fn parse(line: &[u8]) -> Result<Record, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operations.log");
        for release in 1..=3 {
            append(&path, Timestamp::UNIX_EPOCH, Operation::Retire { release }).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn a_last_line_of_which_sectors_were_never_written_is_passed_over_and_the_log_goes_on() {
        let (_folder, path) = log();
        let whole = fs::read(&path).unwrap();
        for (from, to) in [(0, 20), (20, 40), (0, 60), (59, 60)] {
            let mut torn = [b'x'; 60];
            torn[59] = b'\n';
            torn[from..to].fill(0);
            fs::write(&path, [whole.as_slice(), &torn].concat()).unwrap();
            assert_eq!(read(&path).unwrap().len(), 3);
            assert_eq!(last(&path).unwrap().unwrap().operation, Operation::Retire { release: 3 });
            append(&path, Timestamp::UNIX_EPOCH, Operation::Retire { release: 4 }).unwrap();
            assert_eq!(read(&path).unwrap().len(), 4);
        }
    }

    #[test]
    fn a_damaged_line_before_the_last_is_refused_whatever_is_in_it() {
        let (_folder, path) = log();
        let mut bytes = fs::read(&path).unwrap();
        bytes[10..20].fill(0);
        fs::write(&path, bytes).unwrap();
        assert!(matches!(read(&path), Err(StoreError::DamagedLog { line: 1, .. })));
    }
}
