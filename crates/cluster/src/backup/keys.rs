//! Who may open a backup: age recipients, and the keys that they keep (age-encryption.org/v1).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::{Decryptor, Encryptor, IdentityFile, scrypt, x25519};
use zeroize::Zeroizing;

use super::BackupError;
use super::error::in_words;

/// What a file begins with that is itself encrypted.
const ENCRYPTED: &[u8] = b"age-encryption.org/";
/// Far more than a file of identities needs.
const LARGEST: u64 = 1 << 20;

/// Those for whom a backup is encrypted; at least one.
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// The recipients that `texts` name, each once.
    ///
    /// # Errors
    /// One of them is none, or there is none.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, BackupError> {
        let mut texts: Vec<&str> = texts.iter().map(|text| text.as_ref().trim()).collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return Err(BackupError::NoRecipient);
        }
        let parse = |text: &str| {
            x25519::Recipient::from_str(text).map_err(|_| BackupError::Recipient(text.chars().take(80).collect()))
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// As they are written, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn encryptor(&self) -> Result<Encryptor, BackupError> {
        let each = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        Encryptor::with_recipients(each).map_err(|_| BackupError::NoRecipient)
    }
}

/// A key that opens backups. It is kept away from the station: who has both has the clusters.
pub struct RecoveryKey(x25519::Identity);

impl RecoveryKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// What a backup is encrypted for, so that this key opens it.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// Writes it to the new file `path`, encrypted with a passphrase where there is one. `age` reads both.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn save(&self, path: &Path, passphrase: Option<&str>) -> Result<(), BackupError> {
        let secret = self.0.to_string();
        let text = Zeroizing::new(format!("# public key: {}\n{}\n", self.recipient(), secret.expose_secret()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(BackupError::io("create", path))?;
        let written = match passphrase {
            Some(passphrase) => sealed(&text, passphrase).and_then(|sealed| file.write_all(&sealed)),
            None => file.write_all(text.as_bytes()),
        };
        written.and_then(|()| file.sync_all()).map_err(BackupError::io("write", path))
    }
}

fn sealed(text: &str, passphrase: &str) -> std::io::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    let mut writer = Encryptor::with_user_passphrase(SecretString::from(passphrase)).wrap_output(&mut sealed)?;
    writer.write_all(text.as_bytes())?;
    writer.finish()?;
    Ok(sealed)
}

/// Keys that may open a backup.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl Identities {
    /// Whether the file at `path` asks for a passphrase.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_encrypted(path: &Path) -> Result<bool, BackupError> {
        let mut begin = Vec::new();
        let file = fs::File::open(path).map_err(BackupError::io("open", path))?;
        file.take(ENCRYPTED.len() as u64).read_to_end(&mut begin).map_err(BackupError::io("read", path))?;
        Ok(begin == ENCRYPTED)
    }

    /// The identities in the file at `path`, as [`RecoveryKey::save`] or `age-keygen` writes them.
    ///
    /// # Errors
    /// It cannot be read, the passphrase is wrong, or it holds none.
    pub fn load(path: &Path, passphrase: Option<&str>) -> Result<Self, BackupError> {
        let file = fs::File::open(path).map_err(BackupError::io("open", path))?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(LARGEST).read_to_end(&mut bytes).map_err(BackupError::io("read", path))?;
        let text = match passphrase {
            Some(passphrase) => opened(&bytes, passphrase)
                .map_err(|error| BackupError::Passphrase { path: path.into(), said: in_words(&error) })?,
            None => bytes,
        };
        let malformed = |source| BackupError::Identity { path: path.into(), source };
        let found = IdentityFile::from_buffer(BufReader::new(text.as_slice())).map_err(malformed)?;
        let found = found.into_identities().map_err(|error| malformed(std::io::Error::other(in_words(&error))))?;
        if found.is_empty() {
            return Err(malformed(std::io::Error::other("it holds none")));
        }
        Ok(Self(found))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| &**identity as &dyn age::Identity)
    }
}

fn opened(bytes: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, age::DecryptError> {
    let identity = scrypt::Identity::new(SecretString::from(passphrase));
    let reader = Decryptor::new_buffered(bytes)?.decrypt(std::iter::once(&identity as &dyn age::Identity))?;
    let mut text = Zeroizing::new(Vec::new());
    reader.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryKey({})", self.recipient())
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}
