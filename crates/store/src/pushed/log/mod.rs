//! The log of pushed content: segments of lines, chained by digests (docs/formats/pushed-log.md).

mod read;
mod segments;
mod write;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

pub(crate) use read::{Replay, replay};
pub(crate) use write::{Batch, Log, LogError};

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
