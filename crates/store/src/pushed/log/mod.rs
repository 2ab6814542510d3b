//! The log of pushed content: segments of lines, chained by digests (docs/formats/pushed-log.md).

mod read;
mod segments;
mod write;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::record::LONGEST_RECORD;

pub(crate) use read::{Replay, replay};
pub(crate) use write::{Batch, Log, LogError};

/// What is decided at once at most, and one record more; in bytes of the log. So much may be torn by a power loss.
pub(crate) const LONGEST_BATCH: usize = LARGEST_BATCH + LONGEST_RECORD;

/// A batch of this length takes no further record; in bytes.
pub(crate) const LARGEST_BATCH: usize = 1 << 20;

/// The end of a record in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The number of the record.
    pub(crate) number: u64,
    /// The SHA-256 digest of its line, without the line feed.
    pub(crate) digest: Digest,
    /// The segment that it stands in, by the number in its name.
    pub(crate) segment: u64,
    /// The offset behind its line feed, in bytes.
    pub(crate) end: u64,
}
