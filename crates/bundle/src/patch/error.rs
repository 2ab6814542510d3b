//! Why a patch cannot be made, or does not work out.

use std::io;

use sealock_trust::Digest;

use super::deflate::Unfit;

/// Why a layer is better carried whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The layer is not written as any known compressor writes, or is a kind of file that is not taken apart.
    #[error("the layer cannot be made again byte for byte: {0}")]
    Unfit(String),
    /// A layer cannot be read.
    #[error("a layer cannot be read")]
    Read(#[source] io::Error),
    /// The patch cannot be written.
    #[error("the patch cannot be written")]
    Write(#[source] io::Error),
}

impl From<Unfit> for MakeError {
    fn from(error: Unfit) -> Self {
        match error {
            Unfit::Form(problem) => Self::Unfit(problem.to_owned()),
            Unfit::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Unfit("it ends early".to_owned())
            }
            Unfit::Read(error) => Self::Read(error),
        }
    }
}

/// Why a patch does not work out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// It is not formed as a patch is, or asks for what is not there.
    #[error("the patch is not what it should be: {0}")]
    Form(String),
    /// Its base does not hold what it builds on.
    #[error("the patch's base is not what it should be: {0}")]
    Base(String),
    /// The base cannot be read.
    #[error("the patch's base cannot be read")]
    ReadBase(#[source] io::Error),
    /// The patch cannot be read.
    #[error("the patch cannot be read")]
    Read(#[source] io::Error),
    /// It makes something else than it must.
    #[error("the patch makes {actual}, and must make {expected}")]
    Other {
        /// What it must make.
        expected: Digest,
        /// What it makes: a digest, or a size.
        actual: String,
    },
    /// What it makes cannot be kept.
    #[error("what the patch makes cannot be written")]
    Write(#[source] io::Error),
}

impl PatchError {
    /// Whether the machine is at fault, and neither patch nor base.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::ReadBase(_) | Self::Read(_) | Self::Write(_))
    }

    /// An error of reading the patch, which may have ended early.
    pub(super) fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Form("it ends early".to_owned()),
            _ => Self::Read(error),
        }
    }
}

impl From<Unfit> for PatchError {
    fn from(error: Unfit) -> Self {
        // A recipe stands in memory: what cannot be read of it is not there.
        Self::Form(error.to_string())
    }
}
