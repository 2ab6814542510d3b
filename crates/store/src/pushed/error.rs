//! Why something could not be pushed.

use std::path::PathBuf;

use sealock_trust::Digest;
use sealock_trust::format::UnknownFormat;
use sealock_trust::reason::Code;

use crate::error::StoreError;

/// Why an operation on pushed content failed, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer Sealock wrote here.
    #[error("{path} is not of a version that is read here", path = .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// The index, which is derived from the log, cannot be made.
    #[error("cannot make the index {path}", path = .path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// An earlier record may or may not have reached the disk: nothing more is written until the log was read again.
    #[error("an earlier write to the log of pushed content failed: the server must be started again")]
    Broken,
    /// There is no such upload here, or it is somebody else's.
    #[error("there is no upload {id} here")]
    UnknownUpload {
        /// As it was asked for.
        id: String,
    },
    /// Another request writes to the upload at this moment.
    #[error("another request writes to the upload at this moment")]
    Busy,
    /// Bytes came that do not follow those that were acknowledged.
    #[error("the upload goes on at byte {offset}")]
    OutOfOrder {
        /// What was acknowledged, in bytes.
        offset: u64,
    },
    /// More uploads are open than are allowed at a time.
    #[error("{limit} uploads are open already")]
    TooManyUploads {
        /// The allowed count.
        limit: usize,
    },
    /// An upload is longer than a blob may be.
    #[error("a blob has at most {limit} bytes here")]
    TooLong {
        /// The allowed length, in bytes.
        limit: u64,
    },
    /// The repository has no such blob.
    #[error("{repository} has no blob {digest}")]
    UnknownBlob {
        /// The repository.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// The repository has no such manifest.
    #[error("{repository} has no manifest {digest}")]
    UnknownManifest {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: Digest,
    },
    /// The repository has no such tag.
    #[error("{repository} has no tag {tag}")]
    UnknownTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// A manifest refers to something that the repository lacks.
    #[error("{repository} lacks {digest}, to which the manifest refers")]
    MissingChild {
        /// The repository.
        repository: String,
        /// What it lacks.
        digest: Digest,
    },
    /// A manifest gives another size for something than it has.
    #[error("{digest} has {actual} bytes, and the manifest says {claimed}")]
    ChildSize {
        /// What it is about.
        digest: Digest,
        /// What the manifest says, in bytes.
        claimed: u64,
        /// What it has, in bytes.
        actual: u64,
    },
    /// A tag that may not move stands for something else already.
    #[error("{tag} stands for {digest} already, and may not move")]
    TagTaken {
        /// The tag.
        tag: String,
        /// What it stands for.
        digest: Digest,
    },
    /// A manifest that stays refers to what shall go.
    #[error("a manifest of {repository} refers to {digest}")]
    InUse {
        /// The repository.
        repository: String,
        /// What shall go.
        digest: Digest,
    },
    /// A record would be longer than its readers accept.
    #[error("this is more than a record of the log can say")]
    RecordTooLong,
}

impl PushError {
    /// The stable reason code, where this is a refusal that has one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Store(source) => source.code(),
            Self::UnknownFormat { source, .. } => Some(source.code()),
            Self::ChildSize { .. } => Some(Code::Size),
            Self::MissingChild { .. } => Some(Code::Incomplete),
            Self::TooLong { .. } | Self::RecordTooLong => Some(Code::Limit),
            _ => None,
        }
    }

    /// Whether the content is untrusted or invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault (full disk, lock held), so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Store(source) => source.is_environment(),
            Self::Index { .. } | Self::Busy | Self::TooManyUploads { .. } | Self::Broken => true,
            _ => false,
        }
    }
}
