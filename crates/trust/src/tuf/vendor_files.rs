//! The vendors' files of one bundle: asked for, signed, or taken in from an earlier one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::delegation::role_file;
use super::make::{give, resign};
use super::{
    Delegations, MakeError, Metadata, MetadataSet, SPEC_VERSION, Signed, Snapshot, TargetFile, Targets, Terms,
    TrustError, VendorWord,
};
use crate::names::RoleName;
use crate::request::Signatures;
use crate::signer::Signer;

/// The vendors of one bundle: who they are, and what each is asked to vouch for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorPlan {
    /// Their roles and keys.
    pub delegations: Delegations,
    /// The artifacts that each role is asked to vouch for, by name.
    pub targets: BTreeMap<RoleName, BTreeMap<String, TargetFile>>,
    /// The versions of the files that have yet to be signed; the stream's sequence where none is given.
    pub versions: BTreeMap<RoleName, u64>,
    /// What vendors have signed already, to be carried again in the place of a new file.
    pub words: BTreeMap<RoleName, VendorWord>,
}

impl VendorPlan {
    /// The version of the file of `role`.
    fn version(&self, role: &RoleName, terms: &Terms) -> u64 {
        let given = self.words.get(role).map(VendorWord::version).or_else(|| self.versions.get(role).copied());
        given.unwrap_or(terms.sequence)
    }

    /// The file of `role`: signed already, or yet to be signed.
    pub(super) fn file(&self, role: &RoleName, terms: &Terms) -> Result<Vec<u8>, MakeError> {
        if let Some(word) = self.words.get(role) {
            return Ok(word.as_bytes().to_vec());
        }
        let targets = self.targets.get(role).cloned().unwrap_or_default();
        Ok(Signed::unsigned(vendor_targets(targets, self.version(role, terms), terms.expires))?.to_bytes()?)
    }

    pub(super) fn versions(&self, terms: &Terms) -> VendorVersions {
        let roles = self.delegations.roles.iter();
        roles.map(|role| (role.name.clone(), self.version(&role.name, terms))).collect()
    }
}

/// The version that the snapshot promises of each vendor's file.
pub(crate) type VendorVersions = BTreeMap<RoleName, u64>;

/// What `snapshot` promises of the files of `delegations`; one that it leaves out is expected to count with the stream.
pub(crate) fn vendor_versions(snapshot: &Snapshot, delegations: Option<&Delegations>) -> VendorVersions {
    let promised = |role: &RoleName| snapshot.meta.get(&role_file(role)).map_or(snapshot.version, |meta| meta.version);
    let roles = delegations.iter().flat_map(|delegations| &delegations.roles);
    roles.map(|role| (role.name.clone(), promised(&role.name))).collect()
}

/// What the role of a vendor vouches for.
fn vendor_targets(targets: BTreeMap<String, TargetFile>, version: u64, expires: Timestamp) -> Targets {
    Targets {
        kind: Targets::TYPE.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires,
        targets,
        delegations: None,
    }
}

impl MetadataSet {
    /// Adds signatures to the file of the vendor `role`; a signer's earlier one is replaced.
    ///
    /// # Errors
    /// [`MakeError`]: among others where there is no such role, or a signer is none of its keys.
    pub fn add_vendor_signatures(&mut self, role: &RoleName, signers: &[&dyn Signer]) -> Result<(), MakeError> {
        let file = role_file(role);
        let delegations = self.delegations()?.unwrap_or_default();
        let found = delegations.roles.iter().find(|delegated| delegated.name == *role);
        let bytes = self.delegated.get(role).ok_or_else(|| TrustError::MissingFile(file.clone()))?;
        let keys = found.ok_or_else(|| TrustError::MissingFile(file.clone()))?.key_set(&delegations.keys)?;
        for signer in signers {
            let keyid = signer.public_key().id();
            if !keys.keys().contains_key(keyid) {
                return Err(MakeError::NotVendor { keyid: keyid.clone(), role: role.clone() });
            }
        }
        let signed = resign::<Targets>(&file, bytes, signers)?;
        self.delegated.insert(role.clone(), signed);
        Ok(())
    }

    /// The signatures that the file of the vendor `role` carries. Nothing is verified.
    ///
    /// # Errors
    /// [`TrustError`] where there is no such file, or it can't be read.
    pub fn vendor_signatures(&self, role: &RoleName) -> Result<Signatures, TrustError> {
        let file = role_file(role);
        let bytes = self.delegated.get(role).ok_or_else(|| TrustError::MissingFile(file.clone()))?;
        let mut signatures = Signatures::default();
        signatures.take(&file, &Signed::<Targets>::parse_canonical(&file, bytes)?);
        Ok(signatures)
    }

    /// Gives the file of the vendor `role` these signatures and no others.
    ///
    /// # Errors
    /// [`MakeError`]; the set is unchanged then.
    pub fn set_vendor_signatures(&mut self, role: &RoleName, signatures: &Signatures) -> Result<(), MakeError> {
        let file = role_file(role);
        let bytes = self.delegated.get_mut(role).ok_or_else(|| TrustError::MissingFile(file.clone()))?;
        *bytes = give::<Targets>(&file, bytes, signatures)?;
        Ok(())
    }

    /// Takes up the signatures of `word` where it says exactly what the vendor's file here says. Whether it does is answered.
    ///
    /// # Errors
    /// [`MakeError`] where a file can't be read.
    pub fn take_word(&mut self, word: &VendorWord) -> Result<bool, MakeError> {
        let file = role_file(word.role());
        let Some(bytes) = self.delegated.get_mut(word.role()) else { return Ok(false) };
        let mut ours = Signed::<Targets>::parse_canonical(&file, bytes)?;
        let theirs = Signed::<Targets>::parse_canonical(&file, word.as_bytes())?;
        if ours.canonical() != theirs.canonical() {
            return Ok(false);
        }
        ours.signatures.retain(|own| !theirs.signatures.iter().any(|new| new.keyid == own.keyid));
        ours.signatures.extend(theirs.signatures);
        ours.signatures.sort_by(|left, right| left.keyid.cmp(&right.keyid));
        *bytes = ours.to_bytes()?;
        Ok(true)
    }

    /// Whether nobody has signed any of its files, roots aside.
    ///
    /// # Errors
    /// [`TrustError`] where a file can't be read.
    pub fn is_unsigned(&self) -> Result<bool, TrustError> {
        let mut all = self.signatures()?;
        for role in self.delegated.keys() {
            all.extend(self.vendor_signatures(role)?);
        }
        Ok(all.is_empty())
    }
}
