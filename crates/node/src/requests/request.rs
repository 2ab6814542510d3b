//! A request for a certificate (PKCS #10), as a host makes it: hostile until it was looked at.

use sealock_trust::Digest;

/// Bytes that a request has at most.
pub const MOST: usize = 16 << 10;

/// Why a request is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Larger than any request of kubeadm.
    #[error("it has more than {MOST} bytes")]
    TooLarge,
    /// It is none.
    #[error("it is no request for a certificate (PKCS #10, PEM)")]
    Unreadable,
    /// Nothing that a host shows stands at that path.
    #[error("no host asks for a certificate at {0:?}")]
    NotAsked(String),
}

/// A request whose own signature holds, and in which nothing stands but what is told here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Common name.
    pub name: String,
    /// What it is to be a member of.
    pub organizations: Vec<String>,
    /// Host names and addresses.
    pub names: Vec<String>,
    der: Vec<u8>,
}

impl Request {
    /// The request in the PEM text `pem`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of(pem: &str) -> Result<Self, Unfit> {
        if pem.len() > MOST { Err(Unfit::TooLarge) } else { Err(Unfit::Unreadable) }
    }

    /// The request, PEM, and nothing around it.
    pub fn pem(&self) -> String {
        String::new()
    }

    /// SHA-256 of its public key.
    pub fn public_key_hash(&self) -> Digest {
        Digest::sha256(&self.der)
    }

    /// Whether `node` may have what it asks for at `path`: `names` are the names and addresses by which others may call its servers, beside
    /// those that every control plane has ([`Expected`]).
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, path: &str, node: &str, names: &[String]) -> Result<(), Unfit> {
        let _ = (node, names);
        Err(Unfit::NotAsked(path.to_owned()))
    }
}
