//! What a rule demands, read from the files that it names.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sealock_bundle::spec::{Claims, KeyRule, KeylessRule};
use sealock_trust::Digest;
use sealock_trust::attestation::UpstreamKey;

use super::keyless::Keyless;
use super::rule_file;
use crate::error::FetchError;

/// A trusted root is larger nowhere.
const ROOT_LIMIT: u64 = 4 << 20;

/// Who must have signed, and what the signature must say.
pub(crate) struct Demand {
    pub(super) by: By,
    pub(super) claims: Claims,
    file: PathBuf,
    digest: Digest,
}

/// Who must have signed.
pub(super) enum By {
    Key(UpstreamKey),
    Identity(Box<Keyless>),
}

impl Demand {
    /// The digest of the file that it rests on: the public key, or the trusted root.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// A signature by a key. Its file is relative to `folder`.
    pub(crate) fn by_key(rule: &KeyRule, folder: &Path) -> Result<Self, FetchError> {
        let file = folder.join(&rule.file);
        let pem = read(&file, "read the public key")?;
        let key = UpstreamKey::from_pem(&pem).map_err(|source| FetchError::Key { path: file.clone(), source })?;
        Ok(Self { digest: key.file_digest().clone(), by: By::Key(key), claims: rule.claims.clone(), file })
    }

    /// A signature by an identity. The trusted root is relative to `folder`.
    pub(crate) fn by_identity(rule: &KeylessRule, folder: &Path) -> Result<Self, FetchError> {
        let file = folder.join(&rule.signer.trusted_root);
        let text = read(&file, "read the trusted root")?;
        let keyless =
            Keyless::new(&rule.signer, &text).map_err(|reason| FetchError::RuleFile { path: file.clone(), reason })?;
        let digest = Digest::sha256(text.as_bytes());
        Ok(Self { digest, by: By::Identity(Box::new(keyless)), claims: rule.claims.clone(), file })
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Key(_) => write!(f, "the key {}", self.file.display()),
            By::Identity(keyless) => write!(f, "{keyless} by the trusted root {}", self.file.display()),
        }
    }
}

fn read(path: &Path, doing: &'static str) -> Result<String, FetchError> {
    let bytes = rule_file::read(path, doing, ROOT_LIMIT)?;
    String::from_utf8(bytes).map_err(|_| FetchError::io(doing, path, io::ErrorKind::InvalidData.into()))
}
