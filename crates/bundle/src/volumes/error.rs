//! Why volumes cannot be written, read or rebuilt.

use std::path::PathBuf;

use sealock_trust::reason::Code;

use super::code::CodeError;
use super::geometry::MAX_VOLUMES;
use super::index::IndexError;
use super::scan::Needs;
use crate::archive::ArchiveError;
use crate::verify::VerifyError;

/// Why volumes cannot be written, read or rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The bundle is damaged, or a file cannot be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The bundle is not believed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A medium is too small.
    #[error("{path} has room for {free} bytes, and its volumes take {needed}", path = .path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes that are missing there.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// More volumes or blocks than a set may have.
    #[error("that would make more than {MAX_VOLUMES} volumes, or more than a set may hold")]
    TooMany,
    /// The name of the bundle is not fit to name volumes.
    #[error("{path} has a name that volumes cannot have", path = .path.display())]
    Name {
        /// The bundle.
        path: PathBuf,
    },
    /// Another file stands where a volume is to be written.
    #[error("{path} is there already, and is something else", path = .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// No description of the set is there.
    #[error("there is no NAME.volumes.json beside the volumes, so nobody knows what belongs together")]
    NoIndex,
    /// The description of the set is damaged, and there is no other copy.
    #[error("{path} describes no set of volumes", path = .path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IndexError,
    },
    /// Volumes of two bundles.
    #[error("{first} and {second} describe two different sets of volumes", first = .first.display(), second = .second.display())]
    TwoSets {
        /// One index.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A volume of another bundle, or none at all.
    #[error("{path} is no volume of {set}, or not one block of it is what it was", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The name of the bundle.
        set: String,
    },
    /// One volume in two files.
    #[error("{first} and {second} are the same volume, {name}", first = .first.display(), second = .second.display())]
    Duplicate {
        /// Its name.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Volumes that are needed are not there.
    #[error("missing: {}", list(.names))]
    Missing {
        /// Their names.
        names: Vec<String>,
    },
    /// A volume ends too early.
    #[error("{path} has {actual} bytes, and {name} has {expected}", path = .path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// The volume's name.
        name: String,
        /// Bytes of the file.
        actual: u64,
        /// Bytes of the volume.
        expected: u64,
    },
    /// A volume goes on behind its end.
    #[error("{path} has {actual} bytes, and {name} ends after {expected}", path = .path.display())]
    Long {
        /// The file.
        path: PathBuf,
        /// The volume's name.
        name: String,
        /// Bytes of the file.
        actual: u64,
        /// Bytes of the volume.
        expected: u64,
    },
    /// Blocks are not what the index says.
    #[error("{} damaged or missing, and repair {}", if *.count == 1 { "1 block is".to_owned() } else { format!("{count} blocks are") }, if *.repairable { "suffices" } else { "does not suffice" })]
    Damaged {
        /// How many.
        count: u64,
        /// Whether they can be rebuilt.
        repairable: bool,
    },
    /// More was lost than parity makes up for.
    #[error("more is lost than parity makes up for; needed still is {0}")]
    BeyondRepair(Needs),
    /// What was rebuilt is not what the index says: a source changed meanwhile, or the index lies.
    #[error("block {block} of {name} was rebuilt as something else than the index says")]
    NotRestored {
        /// The volume's name.
        name: String,
        /// The block, from 0.
        block: u64,
    },
    /// A stripe cannot be coded: our own mistake.
    #[error("the parity cannot be computed")]
    Code(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The index promises another bundle than its volumes make.
    #[error("the volumes make another bundle than the index says")]
    OtherBundle,
}

impl VolumeError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Archive(source) => source.code(),
            Self::Verify(source) => source.code(),
            Self::Index { source, .. } => Some(source.code()),
            Self::TooMany => Some(Code::Limit),
            Self::NoIndex | Self::Duplicate { .. } | Self::Missing { .. } | Self::BeyondRepair(_) => {
                Some(Code::VolumeSet)
            }
            Self::TwoSets { .. } | Self::Foreign { .. } | Self::OtherBundle => Some(Code::SetMismatch),
            Self::Short { .. } => Some(Code::Incomplete),
            Self::Long { .. } => Some(Code::Trailing),
            Self::Damaged { .. } | Self::NotRestored { .. } => Some(Code::Digest),
            Self::NoRoom { .. } | Self::Name { .. } | Self::InTheWay { .. } | Self::Code(_) => None,
        }
    }

    /// Whether the volumes are invalid, so that trying again won't help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Archive(source) => source.is_environment(),
            Self::Verify(source) => source.is_environment(),
            Self::NoRoom { .. } => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Damaged { repairable: true, .. } => {
                "`sealock repair` with the same arguments and `--to FILE` rebuilds the bundle"
            }
            Self::Duplicate { .. } => "leave one of the two out",
            Self::Foreign { .. } => "leave that file out, or give the volumes of one bundle only",
            Self::TwoSets { .. } => "give the volumes of one bundle only",
            Self::NoIndex => {
                "give the folder in which it is too, or join the data volumes in the order of their names with `cat`"
            }
            Self::InTheWay { .. } => "move it away, or send to another folder",
            Self::TooMany => "choose larger volumes",
            _ => return None,
        })
    }
}

impl From<CodeError> for VolumeError {
    fn from(error: CodeError) -> Self {
        Self::Code(Box::new(error))
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
