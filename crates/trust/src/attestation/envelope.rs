//! DSSE envelopes of others (DSSE 1.0.2).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;

use super::statement::{PAYLOAD_TYPE, Statement};
use super::{AttestationError, UpstreamKey};
use crate::dsse::pre_authentication_encoding;

/// Signatures on one envelope at most.
const SIGNATURES: usize = 16;

/// A payload, what it is, and who signed it. Nothing of it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamEnvelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize)]
struct WireSignature {
    sig: String,
}

impl UpstreamEnvelope {
    /// Reads an envelope. The caller bounds the bytes.
    ///
    /// # Errors
    /// [`AttestationError::Envelope`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, AttestationError> {
        let malformed = |error: serde_json::Error| AttestationError::Envelope(error.to_string());
        let wire: Wire = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.signatures.is_empty() || wire.signatures.len() > SIGNATURES {
            return Err(AttestationError::Envelope(format!("it has {} signatures", wire.signatures.len())));
        }
        let signatures = wire.signatures.iter().map(|signature| decode(&signature.sig));
        Ok(Self {
            payload: decode(&wire.payload)?,
            payload_type: wire.payload_type,
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }

    /// What is signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes that were signed: payload type and payload, each behind its length.
    pub fn message(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }

    /// The raw signatures.
    pub fn signatures(&self) -> impl Iterator<Item = &[u8]> {
        self.signatures.iter().map(Vec::as_slice)
    }

    /// The statement, once a signature by `key` holds.
    ///
    /// # Errors
    /// [`AttestationError`]; a signature by another key is told before what the payload says.
    pub fn verify(&self, key: &UpstreamKey) -> Result<Statement, AttestationError> {
        let message = self.message();
        if !self.signatures.iter().any(|signature| key.verify(&message, signature).is_ok()) {
            return Err(AttestationError::Signature);
        }
        self.unverified_statement()
    }

    /// The statement, whoever may have signed it.
    ///
    /// # Errors
    /// [`AttestationError::PayloadType`] and [`AttestationError::Statement`].
    pub fn unverified_statement(&self) -> Result<Statement, AttestationError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(AttestationError::PayloadType(self.payload_type.clone()));
        }
        Statement::from_json(&self.payload)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, AttestationError> {
    // DSSE 1.0.2 lets a signer choose either alphabet.
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|_| AttestationError::Envelope("a field is not base64".to_owned()))
}
