//! Why a file cannot be converted.

use sealock_trust::reason::Code;

use super::Format;
use crate::document::{DocumentError, Place};
use crate::plain::Plain;

/// Why a file cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// It is none of the formats that are read.
    #[error("this is none of the formats that are read: {}", Format::list())]
    UnknownFormat,
    /// It says that it is another version of a known format.
    #[error("{}:{}: {kind} is written as {found}, and {known} is read", .place.line, .place.column)]
    UnknownVersion {
        /// Where.
        place: Place,
        /// The kind of the document.
        kind: &'static str,
        /// The version it has.
        found: Plain,
        /// The versions that are read.
        known: &'static str,
    },
    /// More bytes, levels or values than any file of people has.
    #[error("{}:{}: more than {limit} {what}", .place.line, .place.column)]
    Limit {
        /// Where it was reached.
        place: Place,
        /// Of what.
        what: &'static str,
        /// The allowed count.
        limit: usize,
    },
    /// One key stands twice in one mapping, so that two readers may see two things.
    #[error("{}:{}: the key {key} stands twice", .place.line, .place.column)]
    DuplicateKey {
        /// Where it stands the second time.
        place: Place,
        /// The key.
        key: Plain,
    },
    /// No YAML.
    #[error("{}:{}: this is no YAML: {problem}", .place.line, .place.column)]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: Plain,
    },
    /// Something else than the format has in this place.
    #[error("{}:{}: {at} has to be {expected}", .place.line, .place.column)]
    Form {
        /// Where.
        place: Place,
        /// The path of the value.
        at: Plain,
        /// What it has to be.
        expected: &'static str,
    },
    /// The spec that was written cannot be read: a defect.
    #[error("the spec that was written cannot be read again")]
    Output(#[source] DocumentError),
}

impl ConvertError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::UnknownFormat | Self::UnknownVersion { .. } | Self::Syntax { .. } => Some(Code::Format),
            Self::Limit { .. } => Some(Code::Limit),
            Self::DuplicateKey { .. } => Some(Code::Ambiguous),
            Self::Form { .. } => Some(Code::Spec),
            Self::Output(_) => None,
        }
    }

    /// Whether the input is bad, so that the same input is refused again.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}
