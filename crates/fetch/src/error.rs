//! Everything that can go wrong while gathering.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;

use crate::upstream::UpstreamError;

/// Why gathering failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// An upstream did not give what was wanted.
    #[error(transparent)]
    Upstream(Box<UpstreamError>),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Client {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A certificate authority of the settings is unusable.
    #[error("{}: not a usable certificate authority: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Docker's `config.json` cannot be understood.
    #[error("{}: not a docker config.json", path.display())]
    DockerConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No address can be made of a name.
    #[error("no address can be made of the name {name:?}")]
    Address {
        /// The name.
        name: String,
    },
    /// A file or folder of this machine.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What arrived cannot be written.
    #[error("cannot write what arrives of {wanted}")]
    Write {
        /// What was downloaded.
        wanted: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl FetchError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Whether something untrusted or invalid was refused: trying again will not help.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Upstream(error) => error.failure.is_refusal(),
            _ => false,
        }
    }

    /// Whether the surroundings are to blame: the same command may succeed later.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Upstream(error) => error.failure.may_pass(),
            Self::Io { .. } | Self::Write { .. } => true,
            _ => false,
        }
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Upstream(error) if error.failure.is_refusal() => Some(Code::Digest),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream(error) => Some(error.failure.hint().to_owned()),
            Self::Io { source, .. } | Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room on the disk and run the same command again; what was fetched is kept".to_owned())
            }
            _ => None,
        }
    }
}

impl From<UpstreamError> for FetchError {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(Box::new(error))
    }
}
