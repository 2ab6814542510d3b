//! What can be wrong with a bundle file, apart from its signatures.

use std::io;
use std::path::PathBuf;

use sealock_trust::Digest;
use sealock_trust::reason::Code;

use super::layout::HeaderFull;
use crate::lock::LockError;
use crate::manifest::ManifestError;
use crate::media::Mismatch;

/// Why a bundle file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The operating system refused to do something with the file.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No room is left where the bundle is written.
    #[error("no space is left for {path}, which takes {needed} bytes", path = .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Bytes of the whole bundle.
        needed: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process builds the same bundle.
    #[error("{path} is being written by another process", path = .path.display())]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },
    /// The file ends before its content does.
    #[error("the bundle ends after {actual} bytes, and needs at least {expected}")]
    Truncated {
        /// Bytes of the file.
        actual: u64,
        /// Bytes that it needs, as far as that is known.
        expected: u64,
    },
    /// The file goes on behind its content.
    #[error("the bundle has {actual} bytes, and ends after {expected}")]
    Trailing {
        /// Bytes of the file.
        actual: u64,
        /// Bytes of the bundle.
        expected: u64,
    },
    /// No bundle at all, or a damaged header.
    #[error("at byte {offset}: {problem}")]
    Damaged {
        /// Where, in bytes from the beginning of the file.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// An entry that a bundle does not have.
    #[error("the entry {name:?} at byte {offset} is not declared")]
    Undeclared {
        /// Its name.
        name: String,
        /// Where its header begins.
        offset: u64,
    },
    /// One thing that could be read as two: a second entry of a name, an unexpected PAX record, a field with another spelling.
    #[error("at byte {offset}: {problem}, so readers could disagree")]
    Ambiguous {
        /// Where, in bytes from the beginning of the file.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A name that leads somewhere else, or is made to be mistaken for another.
    #[error("the name of the entry at byte {offset} is hostile: {name:?}")]
    HostileName {
        /// The name, unprintable characters escaped.
        name: String,
        /// Where its header begins.
        offset: u64,
    },
    /// A symbolic or hard link.
    #[error("the entry {name:?} at byte {offset} is a link")]
    Link {
        /// Its name.
        name: String,
        /// Where its header begins.
        offset: u64,
    },
    /// A device, pipe, folder, or another thing that is no regular file.
    #[error("the entry {name:?} at byte {offset} is no regular file (tar type {kind:?})")]
    NotAFile {
        /// Its name.
        name: String,
        /// The type flag of its header.
        kind: char,
        /// Where its header begins.
        offset: u64,
    },
    /// An entry has another size than the manifest says.
    #[error("the entry {name:?} has {actual} bytes, and the manifest says {expected}")]
    WrongSize {
        /// Its name.
        name: String,
        /// The size in the tar header, in bytes.
        actual: u64,
        /// The size in the manifest, in bytes.
        expected: u64,
    },
    /// Content has another digest than it was promised to have.
    #[error("the content promised as {expected} is {actual}")]
    WrongDigest {
        /// The promised digest.
        expected: Digest,
        /// The digest of what was there.
        actual: Digest,
    },
    /// Content is something else than its media type says.
    #[error("{digest} {mismatch}")]
    TypeMismatch {
        /// The blob.
        digest: Digest,
        /// What it should be, and is.
        mismatch: Mismatch,
    },
    /// `index.json` is not the one that follows from the manifest.
    #[error("index.json does not follow from the manifest")]
    Index,
    /// More than a reader is ready to take.
    #[error("the header has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The allowed count.
        limit: u64,
    },
    /// A blob that is not in the lock was to be written.
    #[error("{0} does not belong to this bundle")]
    UnknownBlob(Digest),
    /// Blobs are missing when the bundle shall be finished.
    #[error("{count} of the bundle's blobs are missing, among them {first}")]
    Incomplete {
        /// How many.
        count: usize,
        /// The first of them.
        first: Digest,
    },
    /// `manifest.json` is not a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The metadata does not fit into the header.
    #[error(transparent)]
    HeaderFull(#[from] HeaderFull),
}

impl ArchiveError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Io { .. } | Self::DiskFull { .. } | Self::Busy { .. } | Self::HeaderFull(_) => return None,
            Self::UnknownBlob(_) | Self::Undeclared { .. } => Code::Undeclared,
            Self::Truncated { .. } | Self::Incomplete { .. } => Code::Incomplete,
            Self::Trailing { .. } => Code::Trailing,
            Self::Damaged { .. } => Code::Format,
            Self::Ambiguous { .. } | Self::Index => Code::Ambiguous,
            Self::HostileName { .. } => Code::Path,
            Self::Link { .. } => Code::Link,
            Self::NotAFile { .. } => Code::Type,
            Self::WrongSize { .. } => Code::Size,
            Self::WrongDigest { .. } => Code::Digest,
            Self::TypeMismatch { .. } => Code::TypeMismatch,
            Self::Limit { .. } => Code::Limit,
            Self::Manifest(source) => source.code(),
            Self::Lock(source) => source.code(),
        })
    }

    /// Whether the file is invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::DiskFull { .. } | Self::Busy { .. })
    }
}
