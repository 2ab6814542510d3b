//! The publisher's side: roots, and the metadata that vouches for a manifest.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::roots::open_root;
use super::vendor_files::{VendorPlan, VendorVersions, vendor_versions};
use super::{
    Delegations, FileMeta, MANIFEST, Metadata, MetadataSet, REVOCATIONS, Roles, Root, RootExtension, SPEC_VERSION,
    Signature, Signed, Snapshot, TargetFile, Targets, TimestampMeta, TrustError, role_file,
};
use crate::digest::{Algorithm, Digest};
use crate::json::{self, MAX_INTEGER};
use crate::key::{KeyId, PublicKey};
use crate::names::RoleName;
use crate::request::Signatures;
use crate::role::{KeySet, RoleError};
use crate::signer::{SignError, Signer};
use crate::utc;

/// Why metadata could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// A signer did not sign.
    #[error("signing failed")]
    Sign(#[from] SignError),
    /// A signer has no say in what it was to sign.
    #[error("the key {keyid} is none of the {role} keys of root {version}")]
    NotInRole {
        /// The signer's key id.
        keyid: KeyId,
        /// The role.
        role: &'static str,
        /// The root's version.
        version: u64,
    },
    /// A signer that is no key of the vendor whose file it was to sign.
    #[error("the key {keyid} is none of the keys of the vendor {role}")]
    NotVendor {
        /// The signer's key id.
        keyid: KeyId,
        /// The vendor's role.
        role: RoleName,
    },
    /// The root that this builds on is not believed.
    #[error("the root that this builds on is not believed")]
    Root(#[from] TrustError),
    /// A role that can't be filled.
    #[error("a role cannot be filled")]
    Role(#[from] RoleError),
    /// There are no roots to sign under.
    #[error("there is no root to sign under")]
    NoRoot,
    /// A sequence of zero, or one beyond 2^53−1.
    #[error("a sequence is counted from 1 to 2^53−1")]
    Sequence,
    /// Metadata that vouches for something else than the manifest beside it.
    #[error("{0} does not say of this manifest what its signers are to vouch for")]
    OtherContent(&'static str),
    /// The metadata can't be written canonically.
    #[error("the metadata cannot be written")]
    Json(#[from] json::Error),
}

impl MakeError {
    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Sign(_))
    }
}

/// What a root is to say.
#[derive(Clone, Debug)]
pub struct RootSpec {
    /// Hard expiry.
    pub expires: Timestamp,
    /// Who may replace the root.
    pub root: KeySet,
    /// Who signs manifests.
    pub publisher: KeySet,
    /// Who may revoke.
    pub revoker: Option<KeySet>,
}

/// What stands around a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The bundle's place in its stream, from 1: the version of all three files.
    pub sequence: u64,
    /// When the manifest was issued.
    pub issued: Timestamp,
    /// Hard expiry.
    pub expires: Timestamp,
}

/// Makes the first root, signed by `signers`, who may be fewer than its threshold: see [`add_root_signatures`].
///
/// # Errors
/// [`MakeError`].
pub fn create_root(spec: &RootSpec, signers: &[&dyn Signer]) -> Result<Vec<u8>, MakeError> {
    sign_root(Signed::unsigned(root(spec, 1))?, None, signers)
}

/// Makes the root that follows `previous`, signed by `signers`: it takes both roots' thresholds to be believed.
///
/// # Errors
/// [`MakeError`].
pub fn rotate_root(previous: &[u8], spec: &RootSpec, signers: &[&dyn Signer]) -> Result<Vec<u8>, MakeError> {
    let previous = open_root(previous)?;
    sign_root(Signed::unsigned(root(spec, previous.version + 1))?, Some(&previous), signers)
}

/// Adds signatures to a root: of its own root keys, and, for a rotation, of those of `previous`.
///
/// # Errors
/// [`MakeError`].
pub fn add_root_signatures(
    bytes: &[u8],
    previous: Option<&[u8]>,
    signers: &[&dyn Signer],
) -> Result<Vec<u8>, MakeError> {
    let previous = previous.map(open_root).transpose()?;
    sign_root(Signed::parse_canonical("root.json", bytes)?, previous.as_ref(), signers)
}

pub(crate) fn root(spec: &RootSpec, version: u64) -> Root {
    let sets = [Some(&spec.root), Some(&spec.publisher), spec.revoker.as_ref()];
    let keys: BTreeMap<KeyId, PublicKey> = sets.into_iter().flatten().flat_map(|set| set.keys().clone()).collect();
    let publisher = spec.publisher.role();
    Root {
        kind: Root::TYPE.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires: spec.expires,
        consistent_snapshot: false,
        keys,
        roles: Roles {
            root: spec.root.role(),
            targets: publisher.clone(),
            snapshot: publisher.clone(),
            timestamp: publisher,
        },
        extension: spec.revoker.as_ref().map(|revoker| RootExtension { revoker: Some(revoker.role()) }),
    }
}

fn sign_root(mut root: Signed<Root>, previous: Option<&Root>, signers: &[&dyn Signer]) -> Result<Vec<u8>, MakeError> {
    let version = root.signed.version;
    let own = root.signed.root_keys()?;
    let before = previous.map(Root::root_keys).transpose()?;
    for signer in signers {
        let keyid = signer.public_key().id();
        let is_old = before.as_ref().is_some_and(|keys| keys.keys().contains_key(keyid));
        if !own.keys().contains_key(keyid) && !is_old {
            return Err(MakeError::NotInRole { keyid: keyid.clone(), role: "root", version });
        }
    }
    add_signatures(&mut root, signers)?;
    Ok(root.to_bytes()?)
}

/// Vouches for `manifest` under the newest of `roots` (ascending, from the first one on): the bundle's `tuf/metadata/`.
///
/// `signers` may be fewer than the threshold: see [`MetadataSet::add_signatures`].
///
/// # Errors
/// [`MakeError`].
pub fn sign_manifest(
    roots: &[Vec<u8>],
    manifest: &[u8],
    terms: &Terms,
    signers: &[&dyn Signer],
) -> Result<MetadataSet, MakeError> {
    let mut set = prepare(roots, manifest, terms, None)?;
    set.add_signatures(signers)?;
    Ok(set)
}

/// The unsigned metadata that vouches for `manifest`, with a file for each vendor that it has.
///
/// # Errors
/// [`MakeError`].
pub fn prepare(
    roots: &[Vec<u8>],
    manifest: &[u8],
    terms: &Terms,
    vendors: Option<&VendorPlan>,
) -> Result<MetadataSet, MakeError> {
    if terms.sequence == 0 || terms.sequence > MAX_INTEGER.unsigned_abs() {
        return Err(MakeError::Sequence);
    }
    let delegations = vendors.map(|plan| &plan.delegations);
    let mut delegated = BTreeMap::new();
    for (role, plan) in vendors.iter().flat_map(|plan| plan.delegations.roles.iter().map(move |role| (role, plan))) {
        delegated.insert(role.name.clone(), plan.file(&role.name, terms)?);
    }
    let versions = vendors.map(|plan| plan.versions(terms)).unwrap_or_default();
    Ok(MetadataSet {
        roots: by_version(roots)?,
        targets: Signed::unsigned(targets(manifest, terms, Beside { delegations, revocations: None }))?.to_bytes()?,
        snapshot: Signed::unsigned(snapshot(terms, &versions))?.to_bytes()?,
        timestamp: Signed::unsigned(timestamp(terms))?.to_bytes()?,
        delegated,
    })
}

impl MetadataSet {
    /// Adds signatures to targets, snapshot and timestamp; a signer's earlier one is replaced.
    ///
    /// # Errors
    /// [`MakeError`]; the set is unchanged then.
    pub fn add_signatures(&mut self, signers: &[&dyn Signer]) -> Result<(), MakeError> {
        let newest = self.roots.last_key_value().ok_or(MakeError::NoRoot)?;
        let root = open_root(newest.1)?;
        let keys = root.publisher_keys()?;
        for signer in signers {
            let keyid = signer.public_key().id();
            if !keys.keys().contains_key(keyid) {
                let (keyid, version) = (keyid.clone(), root.version);
                return Err(MakeError::NotInRole { keyid, role: "publisher", version });
            }
        }
        let targets = resign::<Targets>("targets.json", &self.targets, signers)?;
        let snapshot = resign::<Snapshot>("snapshot.json", &self.snapshot, signers)?;
        let timestamp = resign::<TimestampMeta>("timestamp.json", &self.timestamp, signers)?;
        (self.targets, self.snapshot, self.timestamp) = (targets, snapshot, timestamp);
        Ok(())
    }

    /// Checks that the three files say about `manifest` what [`sign_manifest`] says, and nothing else: whoever adds a
    /// signature vouches for them, and has seen the manifest only.
    ///
    /// # Errors
    /// [`MakeError::OtherContent`], and [`MakeError::Root`] where a file can't be read.
    pub fn check_content(&self, manifest: &[u8], terms: &Terms) -> Result<(), MakeError> {
        let said = Signed::<Targets>::parse_canonical("targets.json", &self.targets)?.signed;
        let beside = Beside::in_targets(&said)?;
        let promised = Signed::<Snapshot>::parse_canonical("snapshot.json", &self.snapshot)?.signed;
        let versions = vendor_versions(&promised, beside.delegations);
        check_same("targets.json", &self.targets, targets(manifest, terms, beside))?;
        check_same("snapshot.json", &self.snapshot, snapshot(terms, &versions))?;
        check_same("timestamp.json", &self.timestamp, timestamp(terms))
    }

    /// Promises `list`, the publisher's revocation list that travels along, or none. Where that is another promise than
    /// before, the signatures that were over it are gone.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn promise_revocations(&mut self, list: Option<&[u8]>) -> Result<(), MakeError> {
        let mut targets = Signed::<Targets>::parse_canonical("targets.json", &self.targets)?.signed;
        let promise = list.map(|list| target_file(list, None));
        if targets.targets.get(REVOCATIONS) == promise.as_ref() {
            return Ok(());
        }
        targets.targets.remove(REVOCATIONS);
        targets.targets.extend(promise.map(|promise| (REVOCATIONS.to_owned(), promise)));
        self.targets = Signed::unsigned(targets)?.to_bytes()?;
        self.snapshot = unsign::<Snapshot>("snapshot.json", &self.snapshot)?;
        self.timestamp = unsign::<TimestampMeta>("timestamp.json", &self.timestamp)?;
        Ok(())
    }

    /// The delegations that targets.json makes.
    ///
    /// # Errors
    /// [`TrustError`] where targets.json can't be read.
    pub fn delegations(&self) -> Result<Option<Delegations>, TrustError> {
        Ok(Signed::<Targets>::parse_canonical("targets.json", &self.targets)?.signed.delegations)
    }

    /// The signatures that the three files carry. Nothing is verified.
    ///
    /// # Errors
    /// [`TrustError`] where a file can't be read.
    pub fn signatures(&self) -> Result<Signatures, TrustError> {
        let mut signatures = Signatures::default();
        signatures.take("targets.json", &Signed::<Targets>::parse_canonical("targets.json", &self.targets)?);
        signatures.take("snapshot.json", &Signed::<Snapshot>::parse_canonical("snapshot.json", &self.snapshot)?);
        signatures
            .take("timestamp.json", &Signed::<TimestampMeta>::parse_canonical("timestamp.json", &self.timestamp)?);
        Ok(signatures)
    }

    /// Gives the three files these signatures and no others.
    ///
    /// # Errors
    /// [`MakeError`]; the set is unchanged then.
    pub fn set_signatures(&mut self, signatures: &Signatures) -> Result<(), MakeError> {
        let targets = give::<Targets>("targets.json", &self.targets, signatures)?;
        let snapshot = give::<Snapshot>("snapshot.json", &self.snapshot, signatures)?;
        let timestamp = give::<TimestampMeta>("timestamp.json", &self.timestamp, signatures)?;
        (self.targets, self.snapshot, self.timestamp) = (targets, snapshot, timestamp);
        Ok(())
    }

    /// The keys that claim to have signed the targets. Nothing is verified.
    ///
    /// # Errors
    /// [`TrustError`] where targets.json can't be read.
    pub fn claimed_signers(&self) -> Result<Vec<KeyId>, TrustError> {
        let targets = Signed::<Targets>::parse("targets.json", &self.targets)?;
        Ok(targets.signatures.into_iter().map(|signature| signature.keyid).collect())
    }
}

/// What targets.json says beside the manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// The vendors.
    pub(crate) delegations: Option<&'a Delegations>,
    /// The publisher's revocation list that travels along.
    pub(crate) revocations: Option<&'a TargetFile>,
}

impl<'a> Beside<'a> {
    /// What `targets` say, which they must say in the one way in which it is shown to those who sign.
    pub(crate) fn in_targets(targets: &'a Targets) -> Result<Self, MakeError> {
        let revocations = targets.targets.get(REVOCATIONS);
        let is_plain = |file: &TargetFile| file.custom.is_none() && file.hashes.keys().eq(["sha256"]);
        if !revocations.is_none_or(is_plain) {
            return Err(MakeError::OtherContent("targets.json"));
        }
        Ok(Self { delegations: targets.delegations.as_ref(), revocations })
    }
}

/// What targets, snapshot and timestamp say of `manifest`, in this order: the content that is signed.
pub(crate) fn contents(
    manifest: &[u8],
    terms: &Terms,
    (beside, versions): (Beside<'_>, &VendorVersions),
) -> Result<[Vec<u8>; 3], MakeError> {
    Ok([
        Signed::unsigned(targets(manifest, terms, beside))?.canonical().to_vec(),
        Signed::unsigned(snapshot(terms, versions))?.canonical().to_vec(),
        Signed::unsigned(timestamp(terms))?.canonical().to_vec(),
    ])
}

fn by_version(roots: &[Vec<u8>]) -> Result<BTreeMap<u64, Vec<u8>>, MakeError> {
    roots.iter().map(|bytes| Ok((open_root(bytes)?.version, bytes.clone()))).collect()
}

fn check_same<T: Metadata>(file: &'static str, bytes: &[u8], expected: T) -> Result<(), MakeError> {
    let found = Signed::<T>::parse_canonical(file, bytes)?;
    let is_same = found.canonical() == Signed::unsigned(expected)?.canonical();
    if is_same { Ok(()) } else { Err(MakeError::OtherContent(file)) }
}

pub(super) fn resign<T: Metadata>(file: &str, bytes: &[u8], signers: &[&dyn Signer]) -> Result<Vec<u8>, MakeError> {
    let mut metadata = Signed::<T>::parse_canonical(file, bytes)?;
    add_signatures(&mut metadata, signers)?;
    Ok(metadata.to_bytes()?)
}

fn unsign<T: Metadata>(file: &str, bytes: &[u8]) -> Result<Vec<u8>, MakeError> {
    let mut metadata = Signed::<T>::parse_canonical(file, bytes)?;
    metadata.signatures.clear();
    Ok(metadata.to_bytes()?)
}

pub(super) fn give<T: Metadata>(file: &str, bytes: &[u8], signatures: &Signatures) -> Result<Vec<u8>, MakeError> {
    let mut metadata = Signed::<T>::parse_canonical(file, bytes)?;
    signatures.give(file, &mut metadata);
    Ok(metadata.to_bytes()?)
}

fn add_signatures<T: Metadata>(metadata: &mut Signed<T>, signers: &[&dyn Signer]) -> Result<(), SignError> {
    for signer in signers {
        let keyid = signer.public_key().id().clone();
        let sig = signer.sign(metadata.canonical())?;
        metadata.signatures.retain(|signature| signature.keyid != keyid);
        metadata.signatures.push(Signature { keyid, sig });
    }
    // The order tells nothing, and so it does not depend on who signed first.
    metadata.signatures.sort_by(|left, right| left.keyid.cmp(&right.keyid));
    Ok(())
}

fn target_file(content: &[u8], custom: Option<json::Value>) -> TargetFile {
    let hashes = BTreeMap::from([(Algorithm::Sha256.as_str().to_owned(), Digest::sha256(content).hex().to_owned())]);
    TargetFile { length: content.len() as u64, hashes, custom }
}

fn targets(manifest: &[u8], terms: &Terms, beside: Beside<'_>) -> Targets {
    let custom = serde_json::json!({"issued": utc::format(terms.issued)});
    let file = target_file(manifest, Some(custom));
    let revocations = beside.revocations.map(|list| (REVOCATIONS.to_owned(), list.clone()));
    Targets {
        kind: Targets::TYPE.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version: terms.sequence,
        expires: terms.expires,
        targets: std::iter::once((MANIFEST.to_owned(), file)).chain(revocations).collect(),
        delegations: beside.delegations.cloned(),
    }
}

fn snapshot(terms: &Terms, vendors: &VendorVersions) -> Snapshot {
    let mut meta = promise("targets.json", terms.sequence);
    for (role, version) in vendors {
        meta.extend(promise(&role_file(role), *version));
    }
    Snapshot {
        kind: Snapshot::TYPE.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version: terms.sequence,
        expires: terms.expires,
        meta,
    }
}

fn timestamp(terms: &Terms) -> TimestampMeta {
    TimestampMeta {
        kind: TimestampMeta::TYPE.to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version: terms.sequence,
        expires: terms.expires,
        meta: promise("snapshot.json", terms.sequence),
    }
}

fn promise(file: &str, version: u64) -> BTreeMap<String, FileMeta> {
    BTreeMap::from([(file.to_owned(), FileMeta { version, length: None, hashes: BTreeMap::new() })])
}
