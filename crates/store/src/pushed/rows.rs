//! What a record changes, row by row: the one place that says so, for the index and for the snapshot.

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::record::{Operation, Record, Verdict};

/// One row of the state, as it is from here on; nothing where it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Blob { repository: String, digest: Digest, size: Option<u64> },
    Manifest { repository: String, digest: Digest, entry: Option<Entry> },
    Tag { repository: String, tag: String, stands_for: Option<Tag> },
}

impl Row {
    /// Where it stands: the later one of two in one place counts. In the order of the index.
    pub(crate) fn place(&self) -> (String, u8, String) {
        match self {
            Self::Blob { repository, digest, .. } => (repository.clone(), b'b', digest.to_string()),
            Self::Manifest { repository, digest, .. } => (repository.clone(), b'm', digest.to_string()),
            Self::Tag { repository, tag, .. } => (repository.clone(), b't', tag.clone()),
        }
    }

    /// Whether there is something from here on.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Blob { size, .. } => size.is_some(),
            Self::Manifest { entry, .. } => entry.is_some(),
            Self::Tag { stands_for, .. } => stands_for.is_some(),
        }
    }
}

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// The manifest.
    pub digest: Digest,
    /// The number of the record that put it there: it only grows, also where a tag is deleted and comes again.
    pub generation: u64,
}

/// What is known of a manifest beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// As it was pushed.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Who pushed it last.
    pub principal: Option<String>,
    /// Why it was let in.
    pub verdict: Verdict,
    /// The record that says so.
    pub number: u64,
}

/// What `record` changes.
pub(crate) fn rows(record: &Record) -> Vec<Row> {
    match record.operation.clone() {
        Operation::Opened { .. } | Operation::Audit { .. } => Vec::new(),
        Operation::Blob { repository, digest, size, .. } => vec![Row::Blob { repository, digest, size: Some(size) }],
        Operation::DeleteBlob { repository, digest } => vec![Row::Blob { repository, digest, size: None }],
        Operation::DeleteTag { repository, tag } => vec![Row::Tag { repository, tag, stands_for: None }],
        Operation::DeleteManifest { repository, digest, tags } => {
            let gone = |tag| Row::Tag { repository: repository.clone(), tag, stands_for: None };
            let mut rows: Vec<_> = tags.into_iter().map(gone).collect();
            rows.push(Row::Manifest { repository, digest, entry: None });
            rows
        }
        Operation::Manifest { repository, digest, size, media_type, tags, verdict } => {
            let (number, principal) = (record.number, record.principal.clone());
            let tag = |tag| {
                let stands_for = Some(Tag { digest: digest.clone(), generation: number });
                Row::Tag { repository: repository.clone(), tag, stands_for }
            };
            let tags: Vec<_> = tags.into_iter().map(tag).collect();
            let entry = Some(Entry { media_type, size, principal, verdict, number });
            let mut rows = vec![Row::Manifest { repository, digest, entry }];
            rows.extend(tags);
            rows
        }
    }
}
