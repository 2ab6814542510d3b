//! Says whether a bundle is genuine. Nothing else can make a [`VerifiedHeader`] or a [`VerifiedBundle`].
//!
//! The order is fixed: form of the header, signatures over the manifest, and only then what the manifest says; the
//! payload last, while it streams. Nothing is written.

mod error;

use std::ops::RangeInclusive;

use jiff::Timestamp;
use sealock_store::Store;
use sealock_trust::revocation::{RevocationList, VerifiedList};
use sealock_trust::tuf::{
    MANIFEST, MetadataSet, Rules, Signed, StreamState, Targets, TrustError, Verified, Verifier, Vouch, walk_roots,
};
use sealock_trust::{Digest, Hasher, KeyId, RoleName, SiteId};

use crate::archive::{Archive, ArchiveError, BlobReader, BlobSink, Taken};
use crate::import::{ImportError, layer};
use crate::manifest::{Blob, Manifest, Patch, Patching};
use crate::patch;

pub use error::VerifyError;

/// What a bundle is verified against.
#[derive(Clone, Debug)]
pub struct Against<'a> {
    /// The newest trusted root of the publisher.
    pub root: &'a [u8],
    /// The time.
    pub now: Timestamp,
    /// What was accepted last in the stream, where something was.
    pub state: Option<&'a StreamState>,
    /// Sequences that a person said may be missing.
    pub accept_gap: Option<RangeInclusive<u64>>,
    /// The site that is to import the bundle; none where it is only looked at.
    pub recipient: Option<Recipient<'a>>,
    /// What the site adds to the rules of verification.
    pub rules: Rules<'a>,
}

/// The site that is to import a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Its id.
    pub site: &'a SiteId,
    /// Its classification.
    pub classification: Option<&'a str>,
}

/// A bundle whose header is genuine: signatures, sequence, expiry and audience hold. Of the payload nothing is known yet.
#[derive(Debug)]
pub struct VerifiedHeader {
    archive: Archive,
    manifest: Manifest,
    verified: Verified,
    revocations: Option<VerifiedList>,
}

/// A bundle of which every byte was judged, and is genuine.
#[derive(Debug)]
pub struct VerifiedBundle {
    header: VerifiedHeader,
}

/// Verifies the header of `archive`.
///
/// # Errors
/// Each with its reason code; nothing was written.
pub fn header(archive: Archive, against: &Against<'_>) -> Result<VerifiedHeader, VerifyError> {
    let set = metadata(&archive)?;
    let Against { root, now, state, ref accept_gap, recipient, rules } = *against;
    let verifier = Verifier { trusted_root: root, now, state, accept_gap: accept_gap.clone(), rules };
    let verified = verifier.verify(&set, archive.manifest_bytes())?;
    let manifest = archive.unverified_manifest()?;
    check_agreement(&manifest, &verified)?;
    check_vendors(&manifest, &verified)?;
    manifest.references.iter().try_for_each(|reference| rules.check_name(reference.name.as_str()))?;
    if let Some(recipient) = recipient {
        check_audience(&manifest, recipient)?;
    }
    archive.check_frame(&manifest)?;
    let revocations = revocations(&archive, &set, root)?;
    Ok(VerifiedHeader { archive, manifest, verified, revocations })
}

/// The revocation list that `archive` carries, genuine under the newest root that follows `root`. None where it is not,
/// and the bundle was made under a root that has been replaced since: what it was worth then cannot be said any more.
///
/// # Errors
/// [`VerifyError::Revocations`], [`VerifyError::OthersList`].
pub fn revocations(archive: &Archive, set: &MetadataSet, root: &[u8]) -> Result<Option<VerifiedList>, VerifyError> {
    let Some(bytes) = archive.revocations() else { return Ok(None) };
    let list = RevocationList::read(bytes)?;
    let mut chain = set.roots.values().map(Vec::as_slice).chain([root]);
    if !chain.any(|file| Digest::sha256(file) == *list.root()) {
        return Err(VerifyError::OthersList { root: list.root().clone() });
    }
    let newest = walk_roots(root, set)?.newest;
    match list.verify(&newest) {
        Ok(list) => Ok(Some(list)),
        Err(_) if set.roots.keys().all(|version| *version < newest.version) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The bundle's trust metadata, which promises this very manifest and this very revocation list, whoever signed that.
///
/// Checked before the manifest is read at all, so that a damaged one is called damaged.
///
/// # Errors
/// [`VerifyError::Unsigned`]; [`VerifyError::Trust`].
pub fn metadata(archive: &Archive) -> Result<MetadataSet, VerifyError> {
    if archive.metadata().is_empty() {
        return Err(VerifyError::Unsigned);
    }
    let set = MetadataSet::from_files(archive.metadata().iter().cloned())?;
    let targets = Signed::<Targets>::parse("targets.json", &set.targets)?;
    let found = archive.manifest_digest();
    let promised = targets.signed.targets.get(MANIFEST).and_then(|target| target.hashes.get("sha256"));
    if promised.is_some_and(|promised| promised != found.hex()) {
        return Err(TrustError::ManifestAltered { found }.into());
    }
    targets.signed.check_revocations(archive.revocations())?;
    Ok(set)
}

/// What was signed twice, in the metadata and in the manifest, has to be the same.
fn check_agreement(manifest: &Manifest, verified: &Verified) -> Result<(), VerifyError> {
    let disagreement = |what| Err(VerifyError::Disagreement { what });
    if manifest.sequence != verified.sequence() {
        return disagreement("sequence");
    }
    if verified.issued().is_some_and(|issued| issued != manifest.issued) {
        return disagreement("issue time");
    }
    if manifest.expires < verified.expires() {
        return disagreement("hard expiry");
    }
    if manifest.delegations.as_ref() != verified.delegations() {
        return disagreement("delegations to vendors");
    }
    check_previous(manifest, verified)
}

/// Checks that where the publisher delegated a name to a vendor, the vendor vouches for it with exactly this content.
///
/// # Errors
/// [`VerifyError::VendorSilent`] and [`VerifyError::VendorContent`].
pub fn check_vendors(manifest: &Manifest, verified: &Verified) -> Result<(), VerifyError> {
    for reference in &manifest.references {
        let name = reference.name.as_str();
        match verified.vouch(name) {
            Vouch::Free => {}
            Vouch::Vouched(vendor, target) => {
                let promised = target.hashes.get(reference.digest.algorithm().as_str());
                if promised.map(String::as_str) != Some(reference.digest.hex()) {
                    return Err(VerifyError::VendorContent { vendor: vendor.clone(), name: name.to_owned() });
                }
            }
            Vouch::Unvouched(vendor) => {
                return Err(VerifyError::VendorSilent { vendor: vendor.clone(), name: name.to_owned() });
            }
        }
    }
    Ok(())
}

/// A bundle that directly follows the accepted one names it. If it names another one, its publisher has signed two under
/// one sequence, and this site was given the one that is not continued.
fn check_previous(manifest: &Manifest, verified: &Verified) -> Result<(), VerifyError> {
    match (&manifest.previous, verified.follows()) {
        (Some(named), Some(accepted)) if named != accepted => Err(VerifyError::OtherPrevious {
            sequence: manifest.sequence,
            named: named.clone(),
            accepted: accepted.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether the bundle is for the recipient.
///
/// # Errors
/// [`VerifyError::Audience`], [`VerifyError::Classification`].
pub(crate) fn check_audience(manifest: &Manifest, recipient: Recipient<'_>) -> Result<(), VerifyError> {
    let audience = &manifest.audience;
    let site = recipient.site.clone();
    if !audience.sites.contains(&site) {
        return Err(VerifyError::Audience { site, sites: audience.sites.clone() });
    }
    match (audience.classification.as_deref(), recipient.classification) {
        (Some(bundle), of_site) if Some(bundle) != of_site => {
            let (bundle, of_site) = (bundle.to_owned(), of_site.map(ToOwned::to_owned));
            Err(VerifyError::Classification { site, bundle, of_site })
        }
        _ => Ok(()),
    }
}

impl VerifiedHeader {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The content of `manifest.json`.
    pub fn manifest_bytes(&self) -> &[u8] {
        self.archive.manifest_bytes()
    }

    /// What the trust metadata came to: signers, root, sequence.
    pub fn trust(&self) -> &Verified {
        &self.verified
    }

    /// The digest of `manifest.json`, which names the bundle.
    pub fn digest(&self) -> &Digest {
        self.verified.manifest()
    }

    /// The publisher's keys that signed.
    pub fn signers(&self) -> &[KeyId] {
        self.verified.signers()
    }

    /// The publisher's revocation list that it carries.
    pub fn revocations(&self) -> Option<&VerifiedList> {
        self.revocations.as_ref()
    }

    /// The bundle itself, a file or volumes: for reading single blobs.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The vendor who vouches for the artifact called `name`; none where the publisher alone does.
    pub fn vendor_of(&self, name: &str) -> Option<&RoleName> {
        match self.verified.vouch(name) {
            Vouch::Vouched(vendor, _) => Some(vendor),
            Vouch::Free | Vouch::Unvouched(_) => None,
        }
    }

    /// Whether its soft expiry has passed at `now`.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.manifest.soft_expiry < now
    }

    /// Bytes behind the header, as far as `done` of [`VerifiedHeader::stream`] counts.
    pub fn payload_size(&self) -> u64 {
        self.archive.length() - self.archive.header_size()
    }

    /// Hands every blob to `sink`, which checks or skips it, and judges every byte between them.
    ///
    /// `done` hears how many bytes of the payload are done.
    ///
    /// # Errors
    /// The first thing that is wrong; what the sink took before stays with the sink.
    pub fn stream<S: BlobSink>(&self, sink: &mut S, done: &mut dyn FnMut(u64)) -> Result<(), S::Error> {
        self.archive.stream(&self.manifest, sink, done)
    }

    /// Reads and checks everything, and keeps nothing.
    ///
    /// # Errors
    /// With a reason code, naming the blob.
    pub fn check_payload(self, done: &mut dyn FnMut(u64)) -> Result<VerifiedBundle, VerifyError> {
        self.stream(&mut Checker, done)?;
        Ok(VerifiedBundle { header: self })
    }
}

impl VerifiedBundle {
    /// The header.
    pub fn header(&self) -> &VerifiedHeader {
        &self.header
    }

    /// Works out every patch whose base is in `store`, and keeps nothing. Returns what remains a promise: the layers whose
    /// bases are not there. Whether the site may use a base is for the import to say.
    ///
    /// # Errors
    /// [`ImportError::Patch`] where a patch makes something else than the manifest promises.
    pub fn prove_patches(&self, store: &Store) -> Result<Patching, ImportError> {
        let mut unproven = Patching::default();
        for (blob, patch) in self.header.manifest.patched() {
            let Ok(base) = layer::open_base(store, blob, patch) else {
                unproven.layers += 1;
                unproven.bytes = unproven.bytes.saturating_add(patch.size);
                unproven.instead_of = unproven.instead_of.saturating_add(blob.size);
                continue;
            };
            let content = self.header.archive.data(patch.offset, patch.size);
            let proof = patch::prove(base, content, &blob.digest, blob.size);
            proof.map_err(|error| layer::explain(store, blob, patch, error))?;
        }
        Ok(unproven)
    }
}

/// Checks every digest that `archive` names itself, whoever signed it: what shows that it is whole, not that it is genuine.
pub(crate) fn integrity(archive: &Archive, done: &mut dyn FnMut(u64)) -> Result<(), VerifyError> {
    metadata(archive)?;
    let manifest = archive.unverified_manifest()?;
    archive.check_frame(&manifest)?;
    Ok(archive.stream(&manifest, &mut Checker, done)?)
}

/// Checks digests and keeps nothing.
#[derive(Debug)]
pub(crate) struct Checker;

impl BlobSink for Checker {
    type Error = ArchiveError;

    fn take(&mut self, blob: &Blob, data: &mut BlobReader<'_>) -> Result<Taken, ArchiveError> {
        check_digest(&blob.digest, data)
    }

    /// The patch has its digest; what it makes is not known without its base.
    fn take_patch(&mut self, _: &Blob, patch: &Patch, data: &mut BlobReader<'_>) -> Result<Taken, ArchiveError> {
        check_digest(&patch.digest, data)
    }
}

/// Reads `data` to the end, which must have the digest.
pub(crate) fn check_digest(expected: &Digest, data: &mut BlobReader<'_>) -> Result<Taken, ArchiveError> {
    let mut hasher = Hasher::new(expected.algorithm());
    while let Some(piece) = data.next_piece()? {
        hasher.update(piece);
    }
    let actual = hasher.finish();
    if actual != *expected {
        return Err(ArchiveError::WrongDigest { expected: expected.clone(), actual });
    }
    Ok(Taken::Whole)
}
