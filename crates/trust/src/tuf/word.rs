//! What a vendor signed, apart from any bundle: its own targets metadata.
//!
//! It is about artifacts and their digests, and not about who carries them. So it may be carried again, in the next bundle or
//! in another one, for as long as it holds.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::delegation::role_file;
use super::{DelegatedRole, Signed, TargetFile, Targets, TrustError};
use crate::key::{KeyId, PublicKey};
use crate::names::RoleName;

/// A vendor's file whose signatures hold under a delegation. Whether it has expired is for [`Self::expires`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorWord {
    role: RoleName,
    bytes: Vec<u8>,
    targets: Targets,
    signers: Vec<KeyId>,
}

impl VendorWord {
    /// Reads the file `bytes` of the role that `role` delegates to, with its keys among `keys`.
    ///
    /// # Errors
    /// [`TrustError`] where the threshold has not signed it, it names what the delegation does not cover, or delegates on.
    pub fn open(bytes: &[u8], role: &DelegatedRole, keys: &BTreeMap<KeyId, PublicKey>) -> Result<Self, TrustError> {
        let file = role_file(&role.name);
        let fault = |source| TrustError::Role { file: file.clone(), source };
        let keys = role.key_set(keys).map_err(fault)?;
        let signed: Signed<Targets> = Signed::parse_canonical(&file, bytes)?;
        let signers = signed.verify(&keys).map_err(fault)?;
        if let Some(keyid) = signers.foreign.into_iter().next() {
            return Err(TrustError::ForeignSignature { file, keyid });
        }
        let targets = signed.signed;
        if targets.delegations.is_some() {
            return Err(TrustError::DelegatesOn { file });
        }
        role.check_scope(&file, &targets)?;
        Ok(Self { role: role.name.clone(), bytes: bytes.to_vec(), targets, signers: signers.valid })
    }

    /// The version that the file `bytes` says it has, whoever signed it.
    pub fn claimed_version(bytes: &[u8]) -> Option<u64> {
        Signed::<Targets>::parse("targets.json", bytes).ok().map(|file| file.signed.version)
    }

    /// The vendor's role.
    pub fn role(&self) -> &RoleName {
        &self.role
    }

    /// The file, byte for byte.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its version, which never goes back.
    pub fn version(&self) -> u64 {
        self.targets.version
    }

    /// From when on it is not believed any more.
    pub fn expires(&self) -> Timestamp {
        self.targets.expires
    }

    /// The keys that signed it.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// What it says of the artifact called `name`.
    pub fn target(&self, name: &str) -> Option<&TargetFile> {
        self.targets.targets.get(name)
    }
}
