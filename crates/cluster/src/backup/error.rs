//! Why a backup was not made, or is not believed.

use std::io;
use std::path::PathBuf;

use sealock_node::StepError;
use sealock_trust::Digest;
use sealock_trust::directory::DirectoryError;
use sealock_trust::dsse::DsseError;
use sealock_trust::format::UnknownFormat;
use sealock_trust::json;
use sealock_trust::reason::Code;
use sealock_trust::signer::SignError;

use crate::etcd::EtcdError;
use crate::etcd::machine::MachineError;
use crate::plan::PlanError;
use crate::tools::ToolError;

/// Why a backup was not made, or is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// etcd, or the rehearsal of its restore.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// etcd's credentials on the host.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The control plane host.
    #[error("the control plane host does not give what a backup needs")]
    Host(#[from] StepError),
    /// No etcd of the cluster runs on the host.
    #[error("no etcd runs on this host")]
    NoEtcd,
    /// No image of etcd is on a host whose cluster has its etcd elsewhere.
    #[error(
        "no image of etcd is on this host, by whose programs the restore would be rehearsed: `sealock cluster apply` brings it"
    )]
    NoPrograms,
    /// The images of etcd on a host are older than the etcd that its cluster has elsewhere.
    #[error(
        "the external etcd runs {serves}, and the newest image of etcd on this host is {has}, which does not read what that writes: bring a bundle with a newer Kubernetes, or that image"
    )]
    OldPrograms {
        /// The version of the image.
        has: String,
        /// The version that serves.
        serves: String,
    },
    /// Another backup or restore is at work on the host.
    #[error("another backup or restore is at work in {path} right now", path = .path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The disk would run full.
    #[error("{free} bytes are free in {path}, and a snapshot and its rehearsal may take {needed}", path = .path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that may be needed.
        needed: u64,
    },
    /// Nowhere is room for a drill.
    #[error("{free} bytes are free in {path}, and this drill may take {needed}", path = .path.display())]
    NoRoomToDrill {
        /// The folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that may be needed.
        needed: u64,
    },
    /// Somebody ended it.
    #[error("the drill was interrupted; what it had opened is removed again")]
    Interrupted,
    /// Something of a station that is not taken into a backup.
    #[error("{path} is not taken into a backup: {why}", path = .path.display())]
    NotTaken {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A place where no station is restored to.
    #[error("nothing is restored to {path}: {why}", path = .path.display())]
    NotAPlace {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A station is there, where one is to be restored.
    #[error("this machine is a station already: {path} is there", path = .path.display())]
    Occupied {
        /// Some file of it.
        path: PathBuf,
    },
    /// A user or group that this machine does not have.
    #[error("this machine has no {what} {name}, to whom {path} belonged", path = .path.display())]
    NoOwner {
        /// User or group.
        what: &'static str,
        /// How it is called.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The trust state in a backup.
    #[error("the trust state in the backup is not believed")]
    Trust(#[from] DirectoryError),
    /// A recipient that is none.
    #[error("{0:?} is no age recipient: one begins with age1")]
    Recipient(String),
    /// Nobody could open it.
    #[error("a backup needs at least one recipient: whoever has its key can open it, and nobody else")]
    NoRecipient,
    /// Not encrypted for the keys that were given, or damaged.
    #[error("the backup cannot be opened with the keys that were given: {said}")]
    Closed {
        /// Why.
        said: String,
    },
    /// A recovery key that is none.
    #[error("{path} holds no age identity that is understood here", path = .path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The passphrase of a recovery key is wrong, or the file is damaged.
    #[error("{path} cannot be opened with this passphrase: {said}", path = .path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why.
        said: String,
    },
    /// The site did not sign it.
    #[error("the backup's table of contents is not believed")]
    Envelope(#[from] DsseError),
    /// The site's key did not sign.
    #[error("the backup's table of contents could not be signed")]
    Sign(#[from] SignError),
    /// The table of contents is malformed.
    #[error("the backup's table of contents is malformed")]
    Json(#[from] json::Error),
    /// Another major version.
    #[error("the backup is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// The file is not laid out as its table of contents says.
    #[error("the file is no backup as Sealock writes it: {problem}")]
    Layout {
        /// What is wrong.
        problem: String,
    },
    /// The content has another digest than was signed.
    #[error("{what} has the digest {found}, and {wanted} was signed")]
    Digest {
        /// Which part.
        what: String,
        /// Of the content.
        found: Digest,
        /// What was signed.
        wanted: Digest,
    },
    /// The file ends early, or goes on.
    #[error("the file has {found} bytes, and a backup with this table of contents has {wanted}")]
    Size {
        /// Its length.
        found: u64,
        /// As it must be.
        wanted: u64,
    },
    /// More than a backup may hold.
    #[error("{what} is larger than {limit} bytes")]
    Limit {
        /// Which part.
        what: String,
        /// What is borne.
        limit: u64,
    },
    /// What a restore drill found.
    #[error("{problem}")]
    Drill {
        /// What is not as it has to be.
        problem: String,
    },
    /// etcd's programs for a restore drill.
    #[error("the etcd that is to serve the restored data cannot be had")]
    Tool(#[from] Box<ToolError>),
    /// A backup of something else.
    #[error(transparent)]
    Plan(Box<PlanError>),
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// What age found, in words of our own: its own ones are looked up in files that need not be there.
pub(super) fn in_words(error: &age::DecryptError) -> String {
    use age::DecryptError::{
        DecryptionFailed, ExcessiveWork, InvalidHeader, InvalidMac, Io, KeyDecryptionFailed, NoMatchingKeys,
        UnknownFormat,
    };
    match error {
        NoMatchingKeys => "it was encrypted for others".into(),
        DecryptionFailed | KeyDecryptionFailed => "it does not decrypt".into(),
        InvalidHeader | InvalidMac => "it is damaged".into(),
        UnknownFormat => "it is of a version that is not read here".into(),
        ExcessiveWork { .. } => "its passphrase would take too long to be tried".into(),
        Io(error) => error.to_string(),
        _ => "age cannot open it".into(),
    }
}

impl BackupError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn drill(problem: impl Into<String>) -> Self {
        Self::Drill { problem: problem.into() }
    }

    pub(crate) fn layout(problem: impl Into<String>) -> Self {
        Self::Layout { problem: problem.into() }
    }

    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Etcd(error) => error.code(),
            Self::Envelope(error) => Some(error.code()),
            Self::Trust(error) => error.code(),
            Self::Occupied { .. } => Some(Code::Foreign),
            Self::Json(_) | Self::Format(_) | Self::Layout { .. } => Some(Code::Format),
            Self::Digest { .. } => Some(Code::Digest),
            Self::Size { found, wanted } => Some(if found < wanted { Code::Incomplete } else { Code::Trailing }),
            Self::Limit { .. } => Some(Code::Limit),
            Self::Drill { .. } => Some(Code::Drill),
            Self::Tool(error) => error.code(),
            Self::Plan(error) => error.code(),
            _ => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRecipient | Self::Recipient(_) => {
                "make a recovery key with `sealock site recovery-key FILE`, keep it away from the station, and give what it prints as \
                 `--recipient`"
                    .into()
            }
            Self::Closed { .. } => "`--recovery-key FILE` names the key of one of its recipients; `sealock cluster backup --check` and `site backup --check` list them".into(),
            Self::Occupied { .. } => {
                "use a machine that is none, or another `--state-dir`; what is there is never overwritten".into()
            }
            Self::NotAPlace { remedy, .. } => (*remedy).into(),
            Self::NoOwner { what, name, .. } => format!("make the {what} {name} first, as the other machine had it, and run the command again"),
            Self::Busy { .. } => "wait for it, and run the command again".into(),
            Self::NoRoom { .. } => "make room on that host: its etcd would be the first to suffer".into(),
            Self::NoRoomToDrill { .. } => "name a folder with more room: `--scratch DIR`".into(),
            Self::Interrupted => "run the command again: no record is kept of a drill that did not come to its end".into(),
            Self::Plan(error) => return error.hint(),
            Self::Envelope(_) => "it was made by another site, or changed since: use another copy".into(),
            Self::Digest { .. } | Self::Size { .. } => "the file is damaged: use another copy".into(),
            _ => return None,
        })
    }
}
