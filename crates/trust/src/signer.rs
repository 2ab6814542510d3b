//! Who can sign: the trait, and keys in files.

mod file;

pub use file::{FileKey, KeyFileError, Passphrase, Scheme};

use crate::key::PublicKey;

/// Something that holds a private key and signs with it.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`: ASN.1 DER for ECDSA, 64 raw bytes for Ed25519, RSASSA-PSS for RSA.
    ///
    /// # Errors
    /// [`SignError`] where the key's holder did not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("the key {keyid} did not sign: {cause}")]
pub struct SignError {
    /// The key's id.
    pub keyid: String,
    /// What its holder said.
    pub cause: String,
}
