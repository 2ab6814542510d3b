//! What the log of pushed content records: one line of canonical JSON each (docs/formats/pushed-log.md).

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

/// No record is longer than this; in bytes.
pub(crate) const LONGEST_RECORD: usize = 64 * 1024;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Its number, counted from 1 without gaps.
    pub number: u64,
    /// When, by the clock of the writer.
    pub at: Timestamp,
    /// Who; absent where it was nobody but the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<String>,
    /// What.
    #[serde(flatten)]
    pub operation: Operation,
    /// The SHA-256 digest of the line before, without its line feed; none in the very first line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// A server began to write.
    Opened {
        /// Its epoch, higher than any before.
        epoch: u64,
    },
    /// A repository holds a blob.
    Blob {
        /// The repository.
        repository: String,
        /// The blob.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// The repository that it was mounted from; absent where it was uploaded.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<String>,
    },
    /// A repository holds a manifest, and its tags stand for it.
    Manifest {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// As it was pushed.
        media_type: String,
        /// The tags that stand for it from here on; there may be more from before.
        tags: Vec<String>,
        /// Why it was let in.
        verdict: Verdict,
    },
    /// A tag was deleted.
    DeleteTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// A manifest was deleted, and its tags with it.
    DeleteManifest {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
        /// The tags that stood for it.
        tags: Vec<String>,
    },
    /// A repository holds a blob no more.
    DeleteBlob {
        /// The repository.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// Something that changes no content: a login, a refusal.
    Audit {
        /// Its name: `login`, `refused`.
        event: String,
        /// The repository that it was about.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        repository: Option<String>,
        /// Further facts, by name.
        facts: BTreeMap<String, String>,
    },
}

/// Why content was let in: stored when it came, so that a pull need not judge again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verdict {
    /// The name of the rule.
    pub rule: String,
    /// The version of the rules.
    pub policy_epoch: u64,
}

impl Operation {
    /// Whether it must be possible on a full disk: what takes something away, and the start of a server that does so.
    pub(crate) fn frees(&self) -> bool {
        matches!(
            self,
            Self::Opened { .. } | Self::DeleteTag { .. } | Self::DeleteManifest { .. } | Self::DeleteBlob { .. }
        )
    }
}
