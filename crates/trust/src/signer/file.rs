//! Private keys in files: PKCS#8 in PEM form (RFC 5958, 7468), encrypted (PBES2 with scrypt) unless asked otherwise.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PSS_SHA256, RsaKeyPair,
};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::pkcs5::pbes2;
use pkcs8::pkcs5::scrypt;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::{SignError, Signer};
use crate::durable;
use crate::key::{Kind, PublicKey};
use crate::spki;

/// No private key is near this long.
const MAX_FILE: u64 = 64 << 10;
/// Memory that deriving a key may take: what a hostile file asks for is not what it gets.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;

/// What keys are made here. More can be verified, see [`crate::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Ed25519 (RFC 8032).
    #[default]
    Ed25519,
    /// ECDSA on P-256 with SHA-256: what hardware modules and FIPS sites have.
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384: what CNSA asks for.
    EcdsaP384,
    /// RSASSA-PSS with SHA-256; new keys have 3072 bits, keys of 2048 to 8192 bits are read.
    RsaPss,
}

impl Scheme {
    /// The TUF name, like `ed25519` or `ecdsa-sha2-nistp256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::RsaPss => "rsassa-pss-sha256",
        }
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ed25519" => Ok(Self::Ed25519),
            "ecdsa-p256" | "ecdsa-sha2-nistp256" => Ok(Self::EcdsaP256),
            "ecdsa-p384" | "ecdsa-sha2-nistp384" => Ok(Self::EcdsaP384),
            "rsa-pss" | "rsassa-pss-sha256" => Ok(Self::RsaPss),
            _ => {
                Err("a key scheme is ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 or rsassa-pss-sha256".to_owned())
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A passphrase, wiped from memory when dropped, never printed, never empty.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Wraps a passphrase; `None` if it is empty.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = Zeroizing::new(text.into());
        (!text.is_empty()).then_some(Self(text))
    }

    /// The passphrase itself, for who opens something with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why a key file could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("cannot {action} the key file {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a file already, and a key is never overwritten.
    #[error("{} exists already, and a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The key is encrypted.
    #[error("the key file {} is encrypted and needs its passphrase", .0.display())]
    PassphraseNeeded(PathBuf),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the key file {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// An unencrypted key that others on this machine can read.
    #[error("the key file {} is not encrypted, and others can read it (mode {mode:o}): chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a private key in PKCS#8 PEM form.
    #[error("{} holds no private key in PKCS#8 PEM form (`openssl pkcs8 -topk8` makes one)", .0.display())]
    Form(PathBuf),
    /// A key of a kind that cannot sign here.
    #[error("the key in {} is neither Ed25519, ECDSA P-256 or P-384, nor RSA of 2048 to 8192 bits", .0.display())]
    Kind(PathBuf),
    /// The key could not be made or encrypted.
    #[error("the cryptographic library did not {0} the key")]
    Crypto(&'static str),
}

impl KeyFileError {
    /// Never: a key file that can't be used is a usage or an environment fault.
    pub fn is_refusal(&self) -> bool {
        false
    }
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// A private key from a file, held in memory.
pub struct FileKey {
    pkcs8: SecretDocument,
    pair: Pair,
    public: PublicKey,
}

impl FileKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`KeyFileError::Crypto`].
    pub fn generate(scheme: Scheme) -> Result<Self, KeyFileError> {
        let der = new_pkcs8(scheme).map_err(|_| KeyFileError::Crypto("make"))?;
        let pkcs8 = SecretDocument::try_from(der.as_slice()).map_err(|_| KeyFileError::Crypto("make"))?;
        Self::from_pkcs8(pkcs8, Path::new("")).map_err(|_| KeyFileError::Crypto("make"))
    }

    /// Reads the key at `path`.
    ///
    /// # Errors
    /// Every [`KeyFileError`] but `Exists`. `PassphraseNeeded` says that asking for one is worth it.
    pub fn load(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, KeyFileError> {
        let (pem, mode) =
            read_bounded(path).map_err(|source| KeyFileError::Io { action: "read", path: path.to_owned(), source })?;
        let form = || KeyFileError::Form(path.to_owned());
        let (label, document) = SecretDocument::from_pem(&pem).map_err(|_| form())?;
        match label {
            "PRIVATE KEY" if mode & 0o077 != 0 => Err(KeyFileError::Exposed { path: path.to_owned(), mode }),
            "PRIVATE KEY" => Self::from_pkcs8(document, path),
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or_else(|| KeyFileError::PassphraseNeeded(path.to_owned()))?;
                let encrypted = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| form())?;
                if derivation_memory(&encrypted) > MAX_SCRYPT_MEMORY {
                    return Err(form());
                }
                let opened = encrypted.decrypt(passphrase.0.as_bytes());
                Self::from_pkcs8(opened.map_err(|_| KeyFileError::WrongPassphrase(path.to_owned()))?, path)
            }
            _ => Err(form()),
        }
    }

    /// Writes the key to a new file at `path` with mode 0600, encrypted under `passphrase`; in clear if there is none.
    ///
    /// # Errors
    /// `Exists`, `Io`, `Crypto`.
    pub fn save(&self, path: &Path, passphrase: Option<&Passphrase>) -> Result<(), KeyFileError> {
        let pem = match passphrase {
            Some(passphrase) => self.encrypted_pem(passphrase)?,
            None => self.pkcs8.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyFileError::Crypto("write"))?,
        };
        write_new(path, pem.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
            _ => KeyFileError::Io { action: "write", path: path.to_owned(), source },
        })
    }

    fn encrypted_pem(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyFileError> {
        let crypto = KeyFileError::Crypto("encrypt");
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        if rand::fill(&mut salt).is_err() || rand::fill(&mut iv).is_err() {
            return Err(crypto);
        }
        // 2^15 · 8 · 128 bytes: 32 MiB, RFC 7914's recommendation for interactive use.
        let encrypt = || -> Option<Zeroizing<String>> {
            let cost = scrypt::Params::new(15, 8, 1, 32).ok()?;
            let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv).ok()?;
            let info = PrivateKeyInfo::from_der(self.pkcs8.as_bytes()).ok()?;
            let encrypted = info.encrypt_with_params(parameters, passphrase.0.as_bytes()).ok()?;
            encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).ok()
        };
        encrypt().ok_or(crypto)
    }

    fn from_pkcs8(pkcs8: SecretDocument, path: &Path) -> Result<Self, KeyFileError> {
        let form = || KeyFileError::Form(path.to_owned());
        let info = PrivateKeyInfo::from_der(pkcs8.as_bytes()).map_err(|_| form())?;
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm, kind| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_bytes()).map_err(|_| form())?;
            let raw = pair.public_key().as_ref().to_vec();
            Ok((Pair::Ecdsa(Box::new(pair)), kind, raw))
        };
        let (pair, kind, raw) = match (info.algorithm.oid, info.algorithm.parameters_oid().ok()) {
            (spki::ED25519, _) => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.as_bytes()).map_err(|_| form())?;
                let raw = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), Kind::Ed25519, raw)
            }
            (spki::EC_PUBLIC_KEY, Some(spki::P256)) => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, Kind::EcdsaP256)?,
            (spki::EC_PUBLIC_KEY, Some(spki::P384)) => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, Kind::EcdsaP384)?,
            (spki::RSA, _) => {
                // It checks the size, too: 2048 to 8192 bits.
                let pair = RsaKeyPair::from_pkcs8(pkcs8.as_bytes());
                let pair = pair.map_err(|_| KeyFileError::Kind(path.to_owned()))?;
                let raw = pair.public_key().as_ref().to_vec();
                (Pair::Rsa(Box::new(pair)), Kind::RsaPss, raw)
            }
            _ => return Err(KeyFileError::Kind(path.to_owned())),
        };
        let public = PublicKey::from_raw(kind, &raw).map_err(|_| form())?;
        Ok(Self { pkcs8, pair, public })
    }
}

impl Signer for FileKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => sign_rsa(pair, message),
        };
        let failed =
            |_| SignError { keyid: self.public.id().to_string(), cause: "the cryptographic library failed".into() };
        signature.map_err(failed)
    }
}

fn sign_rsa(pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)?;
    Ok(signature)
}

/// A new key as PKCS#8 in version 1, without the public key: version 2 is what OpenSSL does not read.
fn new_pkcs8(scheme: Scheme) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm)?.to_pkcs8v1();
    Ok(Zeroizing::new(match scheme {
        Scheme::Ed25519 => Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec(),
        Scheme::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?.as_ref().to_vec(),
        Scheme::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?.as_ref().to_vec(),
        Scheme::RsaPss => {
            let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa3072)?.as_der()?;
            der.as_ref().to_vec()
        }
    }))
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Bytes that scrypt would take with the file's parameters; other derivations take next to none.
fn derivation_memory(encrypted: &EncryptedPrivateKeyInfo<'_>) -> u64 {
    let scrypt = encrypted.encryption_algorithm.pbes2().and_then(|pbes2| pbes2.kdf.scrypt());
    scrypt.map_or(0, |scrypt| scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size)).saturating_mul(128))
}

fn read_bounded(path: &Path) -> io::Result<(Zeroizing<String>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok((text, mode))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is of no use, and would block the next attempt.
        fs::remove_file(path)?;
    }
    written.and_then(|()| durable::sync_parent(path))
}
