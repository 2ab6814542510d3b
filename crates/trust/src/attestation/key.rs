//! A public key as an upstream publishes it, for signatures as cosign makes them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

use crate::digest::Digest;
use crate::key::{KeyError, Kind};
use crate::spki;

/// A public key in PEM form, without a scheme: cosign and its like derive the scheme from the kind of key.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamKey {
    kind: Kind,
    raw: Vec<u8>,
    file: Digest,
}

impl UpstreamKey {
    /// Reads a public key (`BEGIN PUBLIC KEY`): ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 bits or more.
    ///
    /// # Errors
    /// [`KeyError::Pem`] and [`KeyError::Kind`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (kind, raw) = spki::parse_pem(pem)?;
        Ok(Self { kind, raw, file: Digest::sha256(pem.as_bytes()) })
    }

    /// The SHA-256 digest of the PEM text it was read from, by which locks name it.
    pub fn file_digest(&self) -> &Digest {
        &self.file
    }

    /// Whether `signature` was made over `message` by this key.
    ///
    /// # Errors
    /// [`KeyError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let holds = |algorithm: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*algorithm, &self.raw).verify(message, signature).is_ok()
        };
        if algorithms(self.kind).iter().any(holds) { Ok(()) } else { Err(KeyError::Signature) }
    }
}

impl std::fmt::Debug for UpstreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamKey").field("kind", &self.kind).field("file", &self.file).finish_non_exhaustive()
    }
}

/// cosign 2 hashes with SHA-256 whatever the curve; cosign 3 hashes for P-384 with SHA-384. RSA signs by PKCS #1 v1.5.
fn algorithms(kind: Kind) -> &'static [&'static dyn VerificationAlgorithm] {
    match kind {
        Kind::EcdsaP256 => &[&ECDSA_P256_SHA256_ASN1],
        Kind::EcdsaP384 => &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
        Kind::Ed25519 => &[&ED25519],
        Kind::RsaPss => &[&RSA_PKCS1_2048_8192_SHA256],
    }
}
