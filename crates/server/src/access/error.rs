//! What can be wrong with the file that says who may do what, and with what it names.

use std::io;
use std::path::PathBuf;

use sealock_bundle::document::DocumentError;
use sealock_trust::key::KeyError;
use sealock_trust::reason::Code;

use super::jwt::JwksError;

/// Why it cannot be said who may do what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no document of kind `Registry`, or makes no sense as a whole.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A line of the htpasswd file cannot be used.
    #[error("{path}:{line}: {problem}", path = .path.display())]
    Htpasswd {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An issuer's keys cannot be used.
    #[error("the keys in {path} cannot be used", path = .path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: JwksError,
    },
    /// A signer's key cannot be used.
    #[error("the key in {path} cannot be used", path = .path.display())]
    Signer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The authorities of client certificates cannot be used.
    #[error("the certificates in {path} cannot be used as authorities: {problem}", path = .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
    },
    /// The key for tokens can be neither read nor made.
    #[error("the key for tokens cannot be read from {path}, or kept there", path = .path.display())]
    TokenKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

impl AccessError {
    /// The stable reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Document(error) => Some(error.code()),
            Self::Htpasswd { .. } | Self::Keys { .. } | Self::Signer { .. } | Self::Authorities { .. } => {
                Some(Code::Spec)
            }
            Self::Read { .. } | Self::TokenKey { .. } => None,
        }
    }

    /// Whether trying again won't help, since a file says what it must not.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault.
    pub fn is_environment(&self) -> bool {
        !self.is_refusal()
    }
}
