//! Outside: from a lock and a receipt to the manifest of a delta.

use std::collections::{BTreeMap, BTreeSet};

use sealock_trust::site::SiteRoot;
use sealock_trust::{Digest, Receipt, SiteId};

use super::error::DeltaError;
use super::want::WantList;
use crate::lock::{Lock, LockedBlob};
use crate::manifest::{Base, Manifest, ManifestError, Patch};

/// A receipt that the site's keys signed: what the site holds of this publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    receipt: Receipt,
    digest: Digest,
}

/// Manifests of bundles that were built before, each under its digest.
#[derive(Clone, Debug, Default)]
pub struct Bases(BTreeMap<Digest, Manifest>);

impl Bases {
    /// Adds the content of a `manifest.json`; its digest is the name by which a receipt knows it.
    ///
    /// # Errors
    /// When it is no manifest.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Digest, ManifestError> {
        let digest = Digest::sha256(bytes);
        self.0.insert(digest.clone(), Manifest::from_bytes(bytes)?);
        Ok(digest)
    }

    /// The manifest, if it is at hand.
    pub fn get(&self, manifest: &Digest) -> Option<&Manifest> {
        self.0.get(manifest)
    }

    /// Whether the manifest is at hand.
    pub fn has(&self, manifest: &Digest) -> bool {
        self.0.contains_key(manifest)
    }
}

impl Baseline {
    /// Reads the file of a receipt, which the site of `root` must have signed.
    ///
    /// # Errors
    /// When it is no receipt, or not that site's.
    pub fn open(bytes: &[u8], root: &SiteRoot) -> Result<Self, DeltaError> {
        let receipt = Receipt::verify(bytes, root.site_keys())?;
        if receipt.site != *root.id() {
            return Err(DeltaError::OtherSite { signer: root.id().clone(), site: receipt.site });
        }
        Ok(Self { receipt, digest: Digest::sha256(bytes) })
    }

    /// The site.
    pub fn site(&self) -> &SiteId {
        &self.receipt.site
    }

    /// The receipt.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The manifest of the delta that `lock` makes for the site: every blob that one of the held manifests lists is left
    /// out, but for those that the site wants all the same.
    ///
    /// Determined by lock, receipt and want-list: every held manifest has to be at hand.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn manifest(&self, lock: &Lock, bases: &Bases, want: Option<&WantList>) -> Result<Manifest, DeltaError> {
        let draft = self.draft(lock, bases, want)?;
        self.complete(draft, bases)
    }

    /// As [`Baseline::manifest`], but that the site may hold nothing of the bundle: then it is the full one. Patches can be
    /// made for what it carries.
    ///
    /// # Errors
    /// [`DeltaError`].
    pub fn unpatched(&self, lock: &Lock, bases: &Bases, want: Option<&WantList>) -> Result<Manifest, DeltaError> {
        let draft = self.draft(lock, bases, want)?;
        if draft.expected().next().is_none() { Ok(draft) } else { self.complete(draft, bases) }
    }

    /// The `unpatched` manifest with `patches` in the place of the blobs that they make.
    ///
    /// # Errors
    /// [`DeltaError::NothingHeld`].
    pub fn patched(
        &self,
        unpatched: Manifest,
        mut patches: BTreeMap<Digest, Patch>,
        bases: &Bases,
    ) -> Result<Manifest, DeltaError> {
        let mut manifest = unpatched;
        for blob in &mut manifest.blobs {
            if let Some(patch) = patches.remove(&blob.digest) {
                (blob.offset, blob.patch) = (None, Some(patch));
            }
        }
        manifest.place();
        self.complete(manifest, bases)
    }

    /// The blobs that a patch may build on, each with its size: what the held manifests list, but for what the site lacks.
    ///
    /// # Errors
    /// [`DeltaError::BaseUnknown`].
    pub fn patch_bases<'a>(
        &self,
        bases: &'a Bases,
        want: Option<&'a WantList>,
    ) -> Result<BTreeMap<&'a Digest, u64>, DeltaError> {
        let mut held = self.held(bases)?;
        for blob in want.into_iter().flat_map(|want| &want.blobs) {
            held.remove(&blob.digest);
            blob.base.as_ref().and_then(|base| held.remove(base));
        }
        Ok(held)
    }

    /// The manifest without its base.
    fn draft(&self, lock: &Lock, bases: &Bases, want: Option<&WantList>) -> Result<Manifest, DeltaError> {
        self.check_audience(lock)?;
        let held = self.held(bases)?;
        let wanted = want.map(|want| self.wanted(lock, want)).transpose()?.unwrap_or_default();
        let at_site = |blob: &LockedBlob| held.get(&blob.digest) == Some(&blob.size) && !wanted.contains(&blob.digest);
        Ok(Manifest::carrying(lock, |blob| !at_site(blob))?)
    }

    fn complete(&self, mut manifest: Manifest, bases: &Bases) -> Result<Manifest, DeltaError> {
        let (count, bytes) =
            manifest.expected().fold((0, 0_u64), |(count, sum), blob| (count + 1, sum.saturating_add(blob.size)));
        if count == 0 && manifest.patched().next().is_none() {
            return Err(DeltaError::NothingHeld { site: self.site().clone() });
        }
        manifest.base = Some(Base {
            site: self.site().clone(),
            receipt: self.digest.clone(),
            manifests: self.bringing(&manifest, bases),
            bytes,
            blobs: count,
        });
        Ok(manifest)
    }

    fn check_audience(&self, lock: &Lock) -> Result<(), DeltaError> {
        if lock.audience.sites.contains(self.site()) {
            return Ok(());
        }
        Err(DeltaError::Audience { site: self.site().clone(), sites: lock.audience.sites.clone() })
    }

    /// Every blob of the held bundles with its size.
    fn held<'a>(&self, bases: &'a Bases) -> Result<BTreeMap<&'a Digest, u64>, DeltaError> {
        let missing: BTreeSet<&Digest> = self.receipt.held.iter().filter(|digest| !bases.has(digest)).collect();
        if !missing.is_empty() {
            return Err(DeltaError::BaseUnknown { missing: missing.into_iter().cloned().collect() });
        }
        let held = self.receipt.held.iter().filter_map(|digest| bases.0.get(digest));
        Ok(held.flat_map(|manifest| &manifest.blobs).map(|blob| (&blob.digest, blob.size)).collect())
    }

    fn wanted<'a>(&self, lock: &Lock, want: &'a WantList) -> Result<BTreeSet<&'a Digest>, DeltaError> {
        let other = |problem: String| Err(DeltaError::OtherWant(problem));
        if want.site != *self.site() {
            return other(format!("it is from the site {}, and the receipt from {}", want.site, self.site()));
        }
        if (want.stream.as_str(), want.sequence) != (lock.stream.as_str(), lock.sequence) {
            let (stream, sequence) = (&lock.stream, lock.sequence);
            return other(format!("it is for {} {}, and the lock is {stream} {sequence}", want.stream, want.sequence));
        }
        let locked: BTreeSet<&Digest> = lock.blobs.iter().map(|blob| &blob.digest).collect();
        match want.blobs.iter().find(|blob| !locked.contains(&blob.digest)) {
            Some(blob) => other(format!("{} is not in the lock", blob.digest)),
            None => Ok(want.blobs.iter().map(|blob| &blob.digest).collect()),
        }
    }

    /// The held manifests that list something of what is left out, or that a patch builds on.
    fn bringing(&self, manifest: &Manifest, bases: &Bases) -> Vec<Digest> {
        let of_patches = manifest.patched().map(|(_, patch)| &patch.base);
        let expected: BTreeSet<&Digest> = manifest.expected().map(|blob| &blob.digest).chain(of_patches).collect();
        let brings = |digest: &&Digest| {
            bases.0.get(*digest).is_some_and(|base| base.blobs.iter().any(|blob| expected.contains(&blob.digest)))
        };
        let bringing: BTreeSet<&Digest> = self.receipt.held.iter().filter(brings).collect();
        bringing.into_iter().cloned().collect()
    }
}
