//! Attestations: what others have signed about a digest, in the forms that both sides of the gap read.
//!
//! An attestation is an in-toto statement in a DSSE envelope. Unlike the documents of this project it comes as its author
//! wrote it: in no canonical form, with fields of its own, and with a signature by a key that is no TUF key.

mod envelope;
mod key;
mod statement;
mod uuid;

pub use envelope::UpstreamEnvelope;
pub use key::UpstreamKey;
pub use statement::{PAYLOAD_TYPE, STATEMENT_TYPE, Statement, Subject};
pub use uuid::{NAMESPACE_OID, uuid_v5};

use crate::key::KeyError;
use crate::reason::Code;

/// Why an attestation is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// Not a DSSE envelope.
    #[error("it is no DSSE envelope: {0}")]
    Envelope(String),
    /// The envelope holds something that is no in-toto statement.
    #[error("the envelope holds {0:?}, which is no in-toto statement")]
    PayloadType(String),
    /// The payload is not what its type says.
    #[error("what is signed is no in-toto statement: {0}")]
    Statement(String),
    /// No signature is by the key.
    #[error("the signature is by another key, or was changed")]
    Signature,
    /// The key is unusable.
    #[error("the key is unusable")]
    Key(#[from] KeyError),
}

impl AttestationError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Envelope(_) | Self::Statement(_) => Code::Format,
            Self::PayloadType(_) => Code::Subject,
            Self::Signature => Code::Sig,
            Self::Key(source) => source.code(),
        }
    }

    /// Always: the same bytes are refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}
