//! Appends to the log, a batch at a time, each durable with one `fdatasync`.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FallocateFlags;
use sealock_trust::Digest;
use sealock_trust::json::jcs;

use super::segments::{segment_path, segments};
use super::{LONGEST_BATCH, Position};
use crate::durable::{set_mode, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::pushed::error::PushError;
use crate::pushed::record::{LONGEST_RECORD, Operation, Record};

/// A segment of this length is followed by another one; in bytes.
const FULL: u64 = 64 << 20;

/// What is reserved on the disk behind the end, so that deletes can be recorded where nothing else fits; in bytes.
const RESERVE: u64 = 256 << 10;

/// What is reserved at once beyond that; in bytes.
const STEP: u64 = 1 << 20;

/// Why a batch was not appended.
#[derive(Debug)]
pub(crate) enum LogError {
    /// The log is as it was before.
    Unchanged(StoreError),
    /// It is not known what reached the disk.
    Unknown(StoreError),
}

/// The end of the log, open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: File,
    path: PathBuf,
    segment: u64,
    end: u64,
    /// Up to here the disk has room for sure.
    reserved: u64,
    last: Option<(u64, Digest)>,
    /// From this length on a segment is followed by another one; in bytes.
    full: u64,
}

/// Records that are on their way into the log.
#[derive(Debug)]
pub(crate) struct Batch {
    lines: Vec<u8>,
    last: Option<(u64, Digest)>,
    /// Whether all of them only take something away.
    frees: bool,
}

impl Log {
    /// Opens the log in `folder` behind `last`, and cuts off what a power loss left half written there.
    pub(crate) fn open(folder: &Path, last: Option<&Position>) -> Result<Self, StoreError> {
        let newest = segments(folder)?.pop();
        let next = last.map_or(1, |last| last.number + 1);
        let segment = newest.unwrap_or(next);
        let end = last.filter(|last| last.segment == segment).map_or(0, |last| last.end);
        let path = segment_path(folder, segment);
        let file = open_segment(&path)?;
        // Also of one that is there: whoever made it may have ended before this.
        sync_folder(folder)?;
        if file.metadata().during("look at", &path)?.len() > end {
            failpoint::hit("cut log").and_then(|()| file.set_len(end)).during("write", &path)?;
        }
        match write_again(&file, end).during("write", &path) {
            // A server must start on a full disk, or nothing could be deleted; there are filesystems that need room for that.
            Err(StoreError::DiskFull { .. }) => {
                tracing::warn!("there is no room to write the end of the log once more");
            }
            result => result?,
        }
        let last = last.map(|last| (last.number, last.digest.clone()));
        Ok(Self { folder: folder.to_owned(), file, path, segment, end, reserved: end, last, full: FULL })
    }

    /// An empty batch behind the end.
    pub(crate) fn batch(&self) -> Batch {
        Batch { lines: Vec::new(), last: self.last.clone(), frees: true }
    }

    /// Appends `batch`. Durable when it returns; its end is where the log ends now.
    pub(crate) fn append(&mut self, batch: Batch) -> Result<Option<Position>, LogError> {
        self.make_room(&batch).map_err(LogError::Unchanged)?;
        if let Err(error) = self.write(&batch.lines) {
            return Err(match self.take_back() {
                Ok(()) => LogError::Unchanged(error),
                Err(_) => LogError::Unknown(error),
            });
        }
        let synced = failpoint::hit("sync pushed log").and_then(|()| self.file.sync_data());
        if let Err(error) = synced.during("sync", &self.path) {
            // It may be on the disk nevertheless, and so may it be that it is not taken back there.
            let _ = self.take_back();
            return Err(LogError::Unknown(error));
        }
        self.end += batch.lines.len() as u64;
        self.last = batch.last;
        Ok(self.position())
    }

    /// Cuts off what nobody was told of.
    fn take_back(&self) -> io::Result<()> {
        failpoint::hit("take back log").and_then(|()| self.file.set_len(self.end))
    }

    /// The last record; nothing where it stands in a segment before this one.
    pub(crate) fn position(&self) -> Option<Position> {
        let (number, digest) = self.last.clone().filter(|_| self.end > 0)?;
        Some(Position { number, digest, segment: self.segment, end: self.end })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let write = |file: &mut File| {
            failpoint::hit("write pushed log")?;
            file.seek(SeekFrom::Start(self.end))?;
            file.write_all(lines)
        };
        write(&mut self.file).during("write", &self.path)
    }

    /// Goes on to the next segment where this one is full, and sees to it that there will be room for deletes behind the batch.
    fn make_room(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.end >= self.full {
            match self.next_segment() {
                // It may also become longer than that.
                Err(StoreError::DiskFull { .. }) if batch.frees => {}
                result => result?,
            }
        }
        let end = self.end + batch.lines.len() as u64;
        if end + RESERVE <= self.reserved {
            return Ok(());
        }
        match self.reserve(end + RESERVE + STEP) {
            Err(StoreError::DiskFull { .. }) if batch.frees => Ok(()),
            result => result,
        }
    }

    fn reserve(&mut self, to: u64) -> Result<(), StoreError> {
        let length = to - self.end;
        let reserve = || match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, length) {
            // Not every filesystem can; there the writes themselves find out.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            result => result.map_err(io::Error::from),
        };
        failpoint::hit("reserve pushed log").and_then(|()| reserve()).during("reserve room for", &self.path)?;
        self.reserved = to;
        Ok(())
    }

    fn next_segment(&mut self) -> Result<(), StoreError> {
        let segment = self.last.as_ref().map_or(1, |(number, _)| number + 1);
        let path = segment_path(&self.folder, segment);
        let file = open_segment(&path)?;
        sync_folder(&self.folder)?;
        (self.file, self.path, self.segment, self.end, self.reserved) = (file, path, segment, 0, 0);
        Ok(())
    }
}

impl Batch {
    /// Adds a record of `operation`.
    ///
    /// # Errors
    /// [`PushError::RecordTooLong`]; then the batch is as it was.
    pub(crate) fn add(
        &mut self,
        at: Timestamp,
        principal: Option<String>,
        operation: Operation,
    ) -> Result<Record, PushError> {
        let number = self.last.as_ref().map_or(1, |(number, _)| number + 1);
        let previous = self.last.as_ref().map(|(_, digest)| digest.clone());
        let frees = operation.frees();
        let record = Record { number, at, principal, operation, previous };
        let line = jcs::to_vec(&record).map_err(|_| PushError::RecordTooLong)?;
        if line.len() >= LONGEST_RECORD {
            return Err(PushError::RecordTooLong);
        }
        self.last = Some((number, Digest::sha256(&line)));
        self.frees &= frees;
        self.lines.extend_from_slice(&line);
        self.lines.push(b'\n');
        Ok(record)
    }

    /// The length of its lines, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Writes the end of the log once more: where the sync of the last batch failed, nobody knows what the disk has of it, and no later sync
/// would see to it. The cut is durable too then, so that no sector of what was cut off stays beside what comes.
fn write_again(file: &File, end: u64) -> io::Result<()> {
    let from = end.saturating_sub(LONGEST_BATCH as u64);
    let mut tail = vec![0; usize::try_from(end - from).unwrap_or_default()];
    file.read_exact_at(&mut tail, from)?;
    failpoint::hit("write log again")?;
    file.write_all_at(&tail, from)?;
    failpoint::hit("sync log again")?;
    file.sync_data()
}

fn open_segment(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = failpoint::hit("open pushed log").and_then(|()| options.open(path)).during("open", path)?;
    set_mode(path, 0o600).during("set the mode of", path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Replay, replay};
    use super::*;

    /// A log of so many records, in segments of a few each.
    fn written(folder: &Path, records: u64) -> Vec<Position> {
        let mut log = Log::open(folder, None).unwrap();
        log.full = 500;
        let append = |epoch| {
            let mut batch = log.batch();
            batch.add(Timestamp::UNIX_EPOCH, None, Operation::Opened { epoch }).unwrap();
            log.append(batch).unwrap().unwrap()
        };
        (1..=records).map(append).collect()
    }

    fn numbers(folder: &Path, from: Option<&Position>) -> Result<Option<Vec<u64>>, StoreError> {
        let mut numbers = Vec::new();
        let each = |record: Record, position: &Position| {
            assert_eq!(record.number, position.number);
            numbers.push(record.number);
            Ok::<_, StoreError>(())
        };
        Ok(match replay(folder, from, each)? {
            Replay::Done(_) => Some(numbers),
            Replay::Elsewhere => None,
        })
    }

    #[test]
    fn a_full_segment_is_followed_by_another_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let positions = written(folder.path(), 20);
        let all = segments(folder.path()).unwrap();
        assert!(all.len() > 3 && all[0] == 1, "{all:?}");
        assert_eq!(numbers(folder.path(), None).unwrap().unwrap(), (1..=20).collect::<Vec<_>>());
        for position in &positions {
            let behind = numbers(folder.path(), Some(position)).unwrap().unwrap();
            assert_eq!(behind, (position.number + 1..=20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_segment_that_was_begun_and_is_empty_or_torn_is_gone_on_with() {
        for torn in [&b""[..], b"{\"at\":"] {
            let folder = tempfile::tempdir().unwrap();
            let last = written(folder.path(), 5).pop().unwrap();
            fs::write(segment_path(folder.path(), 6), torn).unwrap();
            assert_eq!(numbers(folder.path(), None).unwrap().unwrap().len(), 5);
            let mut log = Log::open(folder.path(), Some(&last)).unwrap();
            let mut batch = log.batch();
            batch.add(Timestamp::UNIX_EPOCH, None, Operation::Opened { epoch: 6 }).unwrap();
            assert_eq!(log.append(batch).unwrap().unwrap().segment, 6);
            assert_eq!(numbers(folder.path(), None).unwrap().unwrap().len(), 6);
        }
    }

    #[test]
    fn a_segment_that_is_missing_cut_or_called_otherwise_is_refused() {
        let damage: [fn(&Path, &[u64]); 4] = [
            |folder, all| fs::remove_file(segment_path(folder, all[1])).unwrap(),
            |folder, all| fs::remove_file(segment_path(folder, all[0])).unwrap(),
            |folder, all| {
                let path = segment_path(folder, all[1]);
                let text = fs::read(&path).unwrap();
                fs::write(&path, &text[..text.len() - 1]).unwrap();
            },
            |folder, all| fs::rename(segment_path(folder, all[1]), segment_path(folder, all[1] + 1)).unwrap(),
        ];
        for (number, damage) in damage.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), 20);
            damage(folder.path(), &segments(folder.path()).unwrap());
            let result = numbers(folder.path(), None);
            assert!(matches!(result, Err(StoreError::DamagedLog { .. })), "damage {number}: {result:?}");
        }
    }

    /// A batch is synced as a whole, and the disk may have written its later sectors first.
    #[test]
    fn a_batch_of_which_sectors_were_never_written_ends_the_log_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), None).unwrap();
        let mut ends = vec![0];
        for epochs in [1..=2, 3..=5] {
            let mut batch = log.batch();
            for epoch in epochs {
                batch.add(Timestamp::UNIX_EPOCH, None, Operation::Opened { epoch }).unwrap();
                ends.push(usize::try_from(log.end).unwrap() + batch.len());
            }
            log.append(batch).unwrap();
        }
        let path = segment_path(folder.path(), 1);
        let whole = fs::read(&path).unwrap();
        for (lost, left) in [(ends[2]..ends[2] + 9, 2), (ends[3] - 1..ends[3] + 5, 2), (ends[4] + 9..ends[5], 4)] {
            let mut torn = whole.clone();
            torn[lost].fill(0);
            fs::write(&path, torn).unwrap();
            assert_eq!(numbers(folder.path(), None).unwrap().unwrap().len(), left);
        }
        // What is further from the end was durable once.
        let mut damaged = [whole.as_slice(), &vec![b'x'; LONGEST_BATCH]].concat();
        damaged[ends[2]..ends[2] + 9].fill(0);
        fs::write(&path, damaged).unwrap();
        assert!(matches!(numbers(folder.path(), None), Err(StoreError::DamagedLog { line: 3, .. })));
    }

    #[test]
    fn a_place_that_the_log_does_not_have_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let last = written(folder.path(), 5).pop().unwrap();
        let bent = [
            Position { end: last.end + 1, ..last.clone() },
            Position { end: last.end - 1, ..last.clone() },
            Position { segment: 99, ..last.clone() },
            Position { digest: Digest::sha256(b"other"), ..last.clone() },
        ];
        for position in bent {
            assert_eq!(numbers(folder.path(), Some(&position)).unwrap(), None, "{position:?}");
        }
        assert_eq!(numbers(folder.path(), Some(&last)).unwrap(), Some(Vec::new()));
    }
}
