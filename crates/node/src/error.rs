//! What can go wrong on a node.

use std::io;

use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::changes::ChangesError;
use crate::host::HostError;
use crate::pull::PullError;
use crate::step::Probe;

/// Why a step could not be looked at, carried out or taken back.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The record of changes refused.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The site registry did not deliver.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Something that Sealock did not make stands in the way.
    #[error("{found}")]
    Foreign {
        /// What, and where.
        found: String,
    },
    /// The host cannot say whether the step is done.
    #[error("the host cannot say whether this is done: {because}")]
    Unknown {
        /// Why not.
        because: String,
    },
    /// The effect did not hold.
    #[error("it was carried out, but afterwards the host says: {because}")]
    NotHeld {
        /// What is still missing.
        because: String,
    },
    /// An artifact that the site's release does not hold.
    #[error("{name} ({digest}) is not in the site's release")]
    NotInRelease {
        /// Repository or image.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// What came out of containerd is not what went in.
    #[error("containerd holds {name} as {found}, and the plan says {wanted}")]
    WrongImage {
        /// The image.
        name: String,
        /// What the plan says.
        wanted: Digest,
        /// What containerd says.
        found: String,
    },
    /// An artifact that is not put together as a component is.
    #[error("{repository} is not a component: {problem}")]
    Malformed {
        /// Where it came from.
        repository: String,
        /// What is wrong.
        problem: String,
    },
    /// A secret that the operator did not send.
    #[error("the step needs the secret `{name}`, and the operator did not send it")]
    NoSecret {
        /// Its name.
        name: String,
    },
    /// A step that contradicts itself.
    #[error("the step is not valid: {problem}")]
    Invalid {
        /// What is wrong.
        problem: String,
    },
    /// Pods that would not come back, or would lose what they wrote.
    #[error("node {node} has pods that are lost by an eviction, or lose data by it: {}", .pods.join("; "))]
    Held {
        /// The node.
        node: String,
        /// The pods, and why.
        pods: Vec<String>,
    },
    /// Something that was waited for did not happen.
    #[error("{what} after {seconds} s: {state}")]
    Late {
        /// What did not happen.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// What was seen last.
        state: String,
    },
}

impl StepError {
    /// True where trying again cannot help: what was found is untrusted, foreign or invalid.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Foreign { .. } => Some(Code::Foreign),
            Self::NotInRelease { .. } => Some(Code::NotInRelease),
            Self::WrongImage { .. } => Some(Code::Digest),
            Self::Malformed { .. } | Self::Invalid { .. } => Some(Code::Format),
            Self::Pull(error) => error.code(),
            // What a blob's reader says when the content is not what its digest promised.
            Self::Host(HostError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
                Some(Code::Digest)
            }
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { .. } => Some(
                "Sealock overwrites nothing that it did not write. Move it away, or clean the host with the tool that made it, and plan again.",
            ),
            Self::NotInRelease { .. } => Some("Carry a bundle that holds it to the site, import it, and plan again."),
            Self::WrongImage { .. } => {
                Some("Remove the image from containerd (`ctr -n k8s.io images rm`), and run again.")
            }
            Self::Host(HostError::NoProgram { .. }) => {
                Some("Install the package that brings it from the site's own repository.")
            }
            Self::Pull(error) => error.hint(),
            Self::Held { .. } => Some("Where that may be, say so by --force or --delete-emptydir-data."),
            Self::NoSecret { .. } => Some("Run the plan with `sealock cluster apply`, which sends it."),
            _ => None,
        }
    }

    /// The error that a probe other than Done stands for after the effect.
    pub(crate) fn not_held(probe: Probe) -> Self {
        match probe {
            Probe::Foreign { found } => Self::Foreign { found },
            Probe::Unknown { because } => Self::Unknown { because },
            probe => Self::NotHeld { because: probe.to_string() },
        }
    }
}
