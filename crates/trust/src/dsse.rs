//! Signatures around any content: the Dead Simple Signing Envelope (DSSE 1.0.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::format::UnknownFormat;
use crate::json::{self, Limits, jcs};
use crate::reason::Code;
use crate::role::{Claim, KeySet, RoleError};
use crate::signer::{SignError, Signer};

/// A payload, what it is, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    keyid: String,
    raw: Vec<u8>,
}

/// The envelope as JSON; the field names are the specification's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: String,
    sig: String,
}

/// Why an envelope is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DsseError {
    /// Not an envelope.
    #[error("not a DSSE envelope in canonical form")]
    Json(#[from] json::Error),
    /// A field that is not base64.
    #[error("the envelope's {0} is not base64")]
    Base64(&'static str),
    /// The envelope holds something else than was asked for.
    #[error("the envelope holds {found:?}, not {expected:?}")]
    PayloadType {
        /// What was asked for.
        expected: String,
        /// What it says it holds.
        found: String,
    },
    /// What it holds is of another format, or of another major version.
    #[error("what the envelope holds is not of a version that is read here")]
    Format(#[from] UnknownFormat),
    /// The signatures do not suffice.
    #[error("the envelope's signatures do not suffice")]
    Role(#[from] RoleError),
}

impl DsseError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(source) => source.code(),
            Self::Base64(_) | Self::Format(_) => Code::Format,
            Self::PayloadType { .. } => Code::Subject,
            Self::Role(source) => source.code(),
        }
    }

    /// Always.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

impl Envelope {
    /// Signs `payload` with every one of `signers`.
    ///
    /// # Errors
    /// The first signer's that did not sign.
    pub fn sign(payload_type: &str, payload: &[u8], signers: &[&dyn Signer]) -> Result<Self, SignError> {
        let mut envelope =
            Self { payload_type: payload_type.to_owned(), payload: payload.to_vec(), signatures: Vec::new() };
        envelope.add_signatures(signers)?;
        Ok(envelope)
    }

    /// Adds signatures to those there are; a signer's earlier one is replaced.
    ///
    /// # Errors
    /// The first signer's that did not sign.
    pub fn add_signatures(&mut self, signers: &[&dyn Signer]) -> Result<(), SignError> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        for signer in signers {
            let keyid = signer.public_key().id().to_string();
            let raw = signer.sign(&message)?;
            self.signatures.retain(|signature| signature.keyid != keyid);
            self.signatures.push(Signature { keyid, raw });
        }
        self.signatures.sort_by(|left, right| left.keyid.cmp(&right.keyid));
        Ok(())
    }

    /// The payload, once it is known to be of `payload_type` and signed by the threshold of `keys`.
    ///
    /// # Errors
    /// [`DsseError::PayloadType`] and [`DsseError::Role`].
    pub fn verify(&self, payload_type: &str, keys: &KeySet) -> Result<&[u8], DsseError> {
        let payload = self.unverified(payload_type)?;
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let claims: Vec<_> = self
            .signatures
            .iter()
            .map(|signature| Claim { keyid: &signature.keyid, signature: &signature.raw })
            .collect();
        keys.verify(&message, &claims)?;
        Ok(payload)
    }

    /// The payload before any signature is looked at: only for documents that bring their own keys.
    ///
    /// # Errors
    /// [`DsseError::PayloadType`].
    pub fn unverified(&self, payload_type: &str) -> Result<&[u8], DsseError> {
        if self.payload_type != payload_type {
            let (expected, found) = (payload_type.to_owned(), self.payload_type.clone());
            return Err(DsseError::PayloadType { expected, found });
        }
        Ok(&self.payload)
    }

    /// Whether there is any signature, whoever's.
    pub fn is_signed(&self) -> bool {
        !self.signatures.is_empty()
    }

    /// The envelope as canonical JSON.
    ///
    /// # Errors
    /// [`DsseError::Json`].
    pub fn to_json(&self) -> Result<Vec<u8>, DsseError> {
        let wire = Wire {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(WireSignature::from).collect(),
        };
        Ok(jcs::to_vec(&wire)?)
    }

    /// Reads an envelope; nothing is verified yet.
    ///
    /// # Errors
    /// [`DsseError::Json`] and [`DsseError::Base64`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, DsseError> {
        let wire: Wire = jcs::from_slice(bytes, &Limits::MANIFEST)?;
        let decode = |text: &str, field| STANDARD.decode(text).map_err(|_| DsseError::Base64(field));
        let signature = |wire: WireSignature| {
            Ok::<_, DsseError>(Signature { raw: decode(&wire.sig, "signature")?, keyid: wire.keyid })
        };
        Ok(Self {
            payload: decode(&wire.payload, "payload")?,
            payload_type: wire.payload_type,
            signatures: wire.signatures.into_iter().map(signature).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Signature> for WireSignature {
    fn from(signature: &Signature) -> Self {
        Self { keyid: signature.keyid.clone(), sig: STANDARD.encode(&signature.raw) }
    }
}

/// What is signed (DSSE protocol, "Signature Definition"): the type and the payload, each behind its length.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{FileKey, Scheme};

    fn key() -> FileKey {
        FileKey::generate(Scheme::Ed25519).unwrap()
    }

    fn set(keys: &[&FileKey], threshold: u32) -> KeySet {
        KeySet::new(keys.iter().map(|key| key.public_key().clone()), threshold).unwrap()
    }

    #[test]
    fn the_encoding_is_the_one_of_the_specifications_example() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_signed_envelope_is_read_and_verified_again() {
        let (one, two) = (key(), key());
        let mut envelope = Envelope::sign("text/x", b"payload", &[&one]).unwrap();
        let both = set(&[&one, &two], 2);
        let missing = envelope.verify("text/x", &both).unwrap_err();
        assert_eq!(missing.code(), Code::Threshold);

        envelope.add_signatures(&[&two, &one]).unwrap();
        let json = envelope.to_json().unwrap();
        let read = Envelope::from_json(&json).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.verify("text/x", &both).unwrap(), b"payload");
    }

    #[test]
    fn another_payload_type_or_payload_is_refused() {
        let one = key();
        let mut envelope = Envelope::sign("text/x", b"payload", &[&one]).unwrap();
        assert_eq!(envelope.verify("text/y", &set(&[&one], 1)).unwrap_err().code(), Code::Subject);
        envelope.payload_type = "text/y".to_owned();
        assert_eq!(envelope.verify("text/y", &set(&[&one], 1)).unwrap_err().code(), Code::Sig);
        envelope.payload_type = "text/x".to_owned();
        envelope.payload.push(b'!');
        assert_eq!(envelope.verify("text/x", &set(&[&one], 1)).unwrap_err().code(), Code::Sig);
        envelope.signatures.clear();
        assert_eq!(envelope.verify("text/x", &set(&[&one], 1)).unwrap_err().code(), Code::Unsigned);
    }

    #[test]
    fn no_byte_of_an_envelope_can_change_unnoticed() {
        let one = key();
        let json = Envelope::sign("text/x", b"payload", &[&one]).unwrap().to_json().unwrap();
        let keys = set(&[&one], 1);
        for place in 0..json.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = json.clone();
                changed[place] ^= flip;
                let believed = Envelope::from_json(&changed).and_then(|envelope| {
                    envelope.verify("text/x", &keys)?;
                    Ok(())
                });
                assert!(believed.is_err(), "byte {place} changed by {flip:#x}");
            }
        }
    }
}
