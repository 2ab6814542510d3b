//! Signed JSON: read strictly, written canonically.
//!
//! Two readers must never see two things in one document, so duplicate keys, floats, integers beyond 2^53−1 and
//! control characters are refused, and bytes, nesting and entries are bounded before anything is built.
//! The one control character that a value (never a key) may hold is the line feed: TUF carries public keys as PEM.

mod canonical;
pub mod jcs;
pub mod olpc;
mod strict;

pub use serde_json::Value;
pub use strict::{Limits, parse};

use crate::reason::Code;

/// The greatest integer, and negated the least, that every JSON reader keeps exactly (RFC 8785, 3.2.2.3).
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Why a document is not acceptable JSON, or cannot be written as such.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More bytes, nesting or entries than allowed.
    #[error("the document has more than {limit} {what}")]
    Limit {
        /// What there is too much of: `bytes`, `levels` or `entries`.
        what: &'static str,
        /// The allowed count.
        limit: usize,
    },
    /// Not JSON at all.
    #[error("the document is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// One key stands twice in one object.
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
    /// A float, an exponent, a negative zero, or an integer beyond 2^53−1.
    #[error("a number is not an integer between −(2^53−1) and 2^53−1")]
    Number,
    /// A control character in a key, or another one than a line feed in a value.
    #[error("the text {0:?} holds a control character")]
    ControlCharacter(String),
    /// Well-formed and well-typed, but not the one canonical spelling of its content.
    #[error("the document is not in canonical form")]
    NotCanonical,
    /// Well-formed, but not the type that it has to be: a missing, unknown or mistyped field.
    #[error("the document does not have the required fields")]
    Schema(#[source] serde_json::Error),
}

impl Error {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Limit { .. } => Code::Limit,
            Self::DuplicateKey(_) | Self::NotCanonical => Code::Ambiguous,
            Self::Syntax(_) | Self::Number | Self::ControlCharacter(_) | Self::Schema(_) => Code::Format,
        }
    }

    /// Always: a document that is wrong stays wrong.
    pub fn is_refusal(&self) -> bool {
        true
    }
}
