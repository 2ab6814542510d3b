//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use sealock_trust::dsse::DsseError;
use sealock_trust::format::UnknownFormat;
use sealock_trust::reason::Code;

/// Why an operation on a store failed, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused to do something with a file.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried, as an infinitive: `write`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No room is left on the filesystem of the store.
    #[error("no space is left to {action} {path}", path = .path.display())]
    DiskFull {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder holds no store.
    #[error("there is no store in {path}", path = .path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// A store shall be made in a folder that holds something else.
    #[error("{path} is neither empty nor a store", path = .path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The store, or a file in it, was written by a Sealock of another major version.
    #[error("{path} is not of a version that is read here", path = .path.display())]
    UnknownFormat {
        /// The folder, or the file.
        path: PathBuf,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// Another process is writing to the store.
    #[error("the store in {path} is in use by another process{holder}", path = .path.display(), holder = .holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The folder of the store.
        path: PathBuf,
        /// The process that holds the lock, where it left its number.
        holder: Option<u32>,
    },
    /// Content does not have the digest it was promised to have.
    #[error("content promised as {expected} is {actual}")]
    WrongDigest {
        /// The promised digest.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// Content does not have the size it was promised to have.
    #[error("blob {digest} shall have {expected} bytes, and {actual} came")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// The promised size, in bytes.
        expected: u64,
        /// The bytes that came; of a content that is too long, as many as were seen.
        actual: u64,
    },
    /// A release names a blob that is neither staged nor in the store.
    #[error("release {release} names {name} as {digest}, which is not in the store")]
    MissingBlob {
        /// The number of the release.
        release: u64,
        /// The reference that needs it.
        name: String,
        /// The blob.
        digest: Digest,
    },
    /// Something that a release names is not whole in the store.
    #[error("release {release} cannot be served again: {name} is not whole")]
    NotWhole {
        /// The number of the release.
        release: u64,
        /// The reference.
        name: String,
        /// What is wrong with it.
        source: Box<crate::closure::ClosureError>,
    },
    /// One reference has two digests.
    #[error("{name} is {first_digest} in stream {first_stream}, and {second_digest} in stream {second_stream}")]
    Conflict {
        /// The reference.
        name: String,
        /// The one stream.
        first_stream: String,
        /// The digest in the one stream.
        first_digest: Digest,
        /// The other stream.
        second_stream: String,
        /// The digest in the other stream.
        second_digest: Digest,
    },
    /// A release is to be published that was not made from the current one.
    #[error("release {number} was prepared on top of {previous}, and the store serves {current}", previous = or_nothing(.previous.as_ref()), current = or_nothing(.current.as_ref()))]
    StaleRelease {
        /// The number of the release that was to be published.
        number: u64,
        /// The digest of the release file it was made from.
        previous: Option<Digest>,
        /// The digest of the release file that is current.
        current: Option<Digest>,
    },
    /// A release file is not what the format page says.
    #[error("release file {path} is not a release: {problem}", path = .path.display())]
    ReleaseFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A release file is not signed by the site's keys.
    #[error("release file {path} is not signed by the site", path = .path.display())]
    ReleaseSignature {
        /// The file.
        path: PathBuf,
        /// What the check of the signature said.
        source: DsseError,
    },
    /// A release that its readers would refuse.
    #[error("release {number} would be larger than a release can be")]
    ReleaseTooLarge {
        /// Its number.
        number: u64,
        /// What there is too much of.
        source: sealock_trust::json::Error,
    },
    /// A release could not be signed.
    #[error("cannot sign release {number}")]
    Sign {
        /// The number of the release.
        number: u64,
        /// What the signer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pointer to the current release points nowhere sensible.
    #[error("{path} points to {target:?}, which is no release file", path = .path.display())]
    BadCurrent {
        /// The pointer.
        path: PathBuf,
        /// What it points to.
        target: String,
    },
    /// A record of the operation log, other than a torn last one, is damaged.
    #[error("operation log {path}, line {line}: {problem}", path = .path.display())]
    DamagedLog {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A release that nothing can be done with since it is the current one.
    #[error("release {number} is the current one: it cannot be retired")]
    RetiresCurrent {
        /// Its number.
        number: u64,
    },
    /// There is no such release.
    #[error("there is no release {number}: the newest is {newest}")]
    NoSuchRelease {
        /// What was asked for.
        number: u64,
        /// The current release; 0 where there is none.
        newest: u64,
    },
    /// A release is not live any more, so that nothing of it is sure to be there.
    #[error("release {number} was retired")]
    Retired {
        /// Its number.
        number: u64,
    },
    /// A server runs, and knows what it has promised.
    #[error("the store in {path} is served by another process: only that one may take pushes, and collect its garbage", path = .path.display())]
    Served {
        /// The folder of the store.
        path: PathBuf,
    },
    /// A bundle is to be taken into a store that stands elsewhere.
    #[error("{path} is on another filesystem than the store in {store}, or cannot be moved there", path = .path.display(), store = .store.display())]
    OtherFilesystem {
        /// The bundle.
        path: PathBuf,
        /// The folder of the store.
        store: PathBuf,
    },
    /// A bundle is to be taken into a store, and somebody else could change it there.
    #[error("{path} {who} could go on writing to it", path = .path.display())]
    Writable {
        /// The bundle.
        path: PathBuf,
        /// Who, and by what.
        who: &'static str,
    },
    /// What is to be taken into a store is not the file that was opened.
    #[error("{path} is a link, or another file by now", path = .path.display())]
    OtherFile {
        /// The bundle.
        path: PathBuf,
    },
    /// A bundle is to be taken into a store before all of it was verified.
    #[error("{digest} was not verified, and cannot be lent")]
    NotVerified {
        /// The blob.
        digest: Digest,
    },
    /// Something stands in the store that the store did not put there.
    #[error("{path} does not belong into a store", path = .path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
    },
}

impl StoreError {
    /// The stable reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::WrongDigest { .. } => Some(Code::Digest),
            Self::WrongSize { .. } => Some(Code::Size),
            // What cannot be read may be whole.
            Self::NotWhole { source, .. } if source.is_environment() => None,
            Self::MissingBlob { .. } | Self::NotWhole { .. } => Some(Code::Incomplete),
            Self::Conflict { .. } => Some(Code::Conflict),
            Self::ReleaseFormat { .. } | Self::UnknownFormat { .. } => Some(Code::Format),
            Self::ReleaseSignature { source, .. } => Some(source.code()),
            Self::ReleaseTooLarge { source, .. } => Some(source.code()),
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
            Self::NotWhole { source, .. } => source.is_environment(),
            Self::DiskFull { .. }
            | Self::Locked { .. }
            | Self::Io { .. }
            | Self::NotAStore { .. }
            | Self::Served { .. }
            | Self::OtherFilesystem { .. }
            | Self::Writable { .. }
            | Self::OtherFile { .. } => true,
            _ => false,
        }
    }
}

fn or_nothing(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "no release".to_owned(), Digest::to_string)
}

/// Adds what was tried, and where, to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    StoreError::DiskFull { action, path, source }
                }
                _ => StoreError::Io { action, path, source },
            }
        })
    }
}

impl<T> IoContext<T> for rustix::io::Result<T> {
    fn during(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(io::Error::from).during(action, path)
    }
}
