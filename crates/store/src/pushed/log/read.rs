//! Reads the log: whole, or from a position on. What a power loss left half written at its end is passed over; any other damage is
//! refused, with its line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use sealock_trust::Digest;

use super::segments::{segment_path, segments};
use super::{LONGEST_BATCH, Position};
use crate::error::{IoContext, StoreError};
use crate::pushed::record::{LONGEST_RECORD, Record};

/// What came of reading.
#[derive(Debug)]
pub(crate) enum Replay {
    /// Every record behind the start was read; this is the last one there is.
    Done(Option<Position>),
    /// The start is no place in this log.
    Elsewhere,
}

/// Reads every record behind `from`, or all, and gives each to `each`.
pub(crate) fn replay<E: From<StoreError>>(
    folder: &Path,
    from: Option<&Position>,
    mut each: impl FnMut(Record, &Position) -> Result<(), E>,
) -> Result<Replay, E> {
    let all = segments(folder)?;
    if let Some(from) = from
        && !(all.contains(&from.segment) && stands_at(folder, from)?)
    {
        return Ok(Replay::Elsewhere);
    }
    let mut last = from.cloned();
    for (index, &first) in all.iter().enumerate() {
        if from.is_some_and(|from| first < from.segment) {
            continue;
        }
        let is_last = index + 1 == all.len();
        let segment = Segment { folder, first, is_last };
        segment.read(&mut last, &mut each)?;
    }
    Ok(Replay::Done(last))
}

struct Segment<'a> {
    folder: &'a Path,
    first: u64,
    is_last: bool,
}

impl Segment<'_> {
    /// Reads what is behind `last`, which moves on with each record.
    fn read<E: From<StoreError>>(
        &self,
        last: &mut Option<Position>,
        each: &mut impl FnMut(Record, &Position) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = segment_path(self.folder, self.first);
        let mut offset = last.as_ref().filter(|last| last.segment == self.first).map_or(0, |last| last.end);
        let mut file = File::open(&path).during("open", &path)?;
        file.seek(SeekFrom::Start(offset)).during("read", &path)?;
        let length = file.metadata().during("look at", &path)?.len();
        let mut reader = BufReader::new(file);
        let (mut line, mut count) = (Vec::new(), 0);
        loop {
            line.clear();
            let limit = LONGEST_RECORD as u64 + 1;
            (&mut reader).take(limit).read_until(b'\n', &mut line).during("read", &path)?;
            count += 1;
            let damaged = |problem: &str| StoreError::DamagedLog {
                path: path.clone(),
                line: line_number(self.first, last.as_ref(), count),
                problem: problem.to_owned(),
            };
            let behind = length.saturating_sub(offset);
            if line.is_empty() || (self.is_last && is_torn(&line, behind)) {
                return Ok(());
            }
            let Some(text) = line.strip_suffix(b"\n") else { return Err(damaged("it is not complete").into()) };
            let record: Record = serde_json::from_slice(text).map_err(|error| damaged(&error.to_string()))?;
            self.check(&record, last.as_ref(), offset).map_err(damaged)?;
            offset += line.len() as u64;
            let position =
                Position { number: record.number, digest: Digest::sha256(text), segment: self.first, end: offset };
            each(record, &position)?;
            *last = Some(position);
        }
    }

    /// Whether `record`, which stands at `offset`, follows `last`.
    fn check(&self, record: &Record, last: Option<&Position>, offset: u64) -> Result<(), &'static str> {
        let (number, previous) = last.map_or((1, None), |last| (last.number + 1, Some(&last.digest)));
        if record.number != number || record.previous.as_ref() != previous {
            return Err("it does not follow the line before it");
        }
        if offset == 0 && record.number != self.first {
            return Err("the segment is named after another record");
        }
        Ok(())
    }
}

/// Whether a power loss cut the writing of `line` off, with which the last `behind` bytes of the log begin: it has no line feed, or bytes
/// of it never reached the disk, which reads them as zeros. Lines behind it belong to the same batch, or else it would be durable.
fn is_torn(line: &[u8], behind: u64) -> bool {
    let is_incomplete = line.last() != Some(&b'\n') && line.len() <= LONGEST_RECORD;
    is_incomplete || (line.contains(&0) && behind <= LONGEST_BATCH as u64)
}

/// The line within the segment `first` where the next record would stand, from 1; by its number, since a segment may be read from its middle on.
fn line_number(first: u64, last: Option<&Position>, count: usize) -> usize {
    let next = last.map_or(1, |last| last.number + 1);
    next.checked_sub(first).and_then(|lines| usize::try_from(lines + 1).ok()).unwrap_or(count)
}

/// Whether the record at `position` is what it was.
fn stands_at(folder: &Path, position: &Position) -> Result<bool, StoreError> {
    let path = segment_path(folder, position.segment);
    let mut file = File::open(&path).during("open", &path)?;
    if file.metadata().during("look at", &path)?.len() < position.end {
        return Ok(false);
    }
    let from = position.end.saturating_sub(LONGEST_RECORD as u64 + 1);
    file.seek(SeekFrom::Start(from)).during("read", &path)?;
    let mut tail = Vec::new();
    file.take(position.end - from).read_to_end(&mut tail).during("read", &path)?;
    let Some(tail) = tail.strip_suffix(b"\n") else { return Ok(false) };
    let start = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    Ok(Digest::sha256(&tail[start..]) == position.digest)
}
