//! Who can sign: the trait, keys in files, and what has to be known of keys in PKCS#11 tokens.
//!
//! A token's library runs in a program of its own, which the command starts: here is only what needs no process.

mod file;
pub mod pkcs11;
mod uri;

pub use file::{FileKey, KeyFileError, Passphrase, Scheme};
pub use uri::{KeyQuery, KeyUri, KeyUriError, PREFIX as URI_PREFIX, TokenQuery};

use std::error::Error;

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
#[error("the key {keyid} did not sign")]
pub struct SignError {
    /// The key's id.
    pub keyid: String,
    /// What its holder said.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}
