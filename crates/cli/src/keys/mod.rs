//! Private keys: how they are named, opened and made. Here, and nowhere else, what a person named becomes a [`Signer`].

mod name;
mod passphrases;

use std::path::Path;

use sealock_trust::{FileKey, PublicKey, Scheme, Signer};

use crate::error::{CommandError, Result};
use crate::files;

pub use name::{KeyName, KeyPlace};
pub use passphrases::{Passphrases, Secrets};

/// A private key that was opened.
pub type Key = Box<dyn Signer>;

/// The key at `path`: the one that is there, or else a new one.
///
/// An interrupted command finds the keys it made, so that running it again finishes the work.
///
/// # Errors
/// The key cannot be read or written.
pub fn load_or_create(path: &Path, scheme: Scheme, passphrases: &Passphrases<'_>, encrypt: bool) -> Result<Key> {
    if path.exists() {
        return passphrases.load(&KeyName::from(path));
    }
    let key = FileKey::generate(scheme)?;
    let passphrase = if encrypt { Some(passphrases.for_new_keys()?) } else { None };
    key.save(path, passphrase)?;
    Ok(Box::new(key))
}

/// The key called `stem` in `folder` where nobody names another: `STEM.uri`, which names one in a token, else `STEM.pem`.
pub fn usual(folder: &Path, stem: &str) -> KeyName {
    let uri = folder.join(format!("{stem}.uri"));
    if uri.exists() { KeyName::from(uri) } else { KeyName::from(folder.join(format!("{stem}.pem"))) }
}

/// The public half of a key, in a file that may hold no more than that. A key in a token proves that it has the private one.
///
/// # Errors
/// It is no key, or cannot be opened.
pub fn public_key(name: &KeyName, passphrases: &Passphrases<'_>) -> Result<PublicKey> {
    if let KeyPlace::File(path) = name.place()? {
        let text = files::read_text(&path)?;
        if is_public(&text) {
            return PublicKey::from_pem(&text).map_err(|error| CommandError::from(error).context(name.to_string()));
        }
    }
    passphrases.proven(name)
}

/// Whether a PEM text holds a public key.
pub fn is_public(pem: &str) -> bool {
    pem.contains("BEGIN PUBLIC KEY")
}

/// The keys as the libraries take them.
pub fn signers(keys: &[Key]) -> Vec<&dyn Signer> {
    keys.iter().map(AsRef::as_ref).collect()
}
