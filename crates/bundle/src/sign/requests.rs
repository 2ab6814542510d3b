//! What is to be signed of one bundle, apart for each who signs: the publisher, and every vendor.

use std::path::Path;

use sealock_trust::request::{Merged, SignatureFile, SigningRequest, Tally};
use sealock_trust::tuf::{MetadataSet, VendorWord};
use sealock_trust::{RoleName, Signer};

use super::{SignBundleError, SignedBundle, current_set, finish_interrupted, open_whole, rewrite};
use crate::vendors::Words;

/// Everything that is to be signed of one bundle.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What the publisher signs.
    pub publisher: Requested,
    /// What each vendor signs, in the order of the delegations.
    pub vendors: Vec<(RoleName, Requested)>,
}

/// What one of them signs, and how far that is.
#[derive(Clone, Debug)]
pub struct Requested {
    /// What is to be signed.
    pub request: SigningRequest,
    /// Who has signed, and who is missing.
    pub tally: Vec<Tally>,
}

impl Requests {
    fn of(set: &MetadataSet, manifest: &[u8]) -> Result<Self, SignBundleError> {
        let request = SigningRequest::for_bundle(set, manifest)?;
        let publisher = Requested { tally: request.tally(&set.signatures()?)?, request };
        let delegations = set.delegations()?.unwrap_or_default();
        let vendor = |role: &RoleName| -> Result<_, SignBundleError> {
            let request = SigningRequest::for_vendor(set, role)?;
            let tally = request.tally(&set.vendor_signatures(role)?)?;
            Ok((role.clone(), Requested { request, tally }))
        };
        let vendors = delegations.roles.iter().map(|role| vendor(&role.name)).collect::<Result<_, _>>()?;
        Ok(Self { publisher, vendors })
    }

    /// Each of them: the publisher's first.
    pub fn all(&self) -> impl Iterator<Item = &Requested> {
        std::iter::once(&self.publisher).chain(self.vendors.iter().map(|(_, requested)| requested))
    }

    /// How far all of them are.
    pub fn tally(&self) -> Vec<Tally> {
        self.all().flat_map(|requested| requested.tally.clone()).collect()
    }

    /// Those that `signer` has a say in.
    ///
    /// # Errors
    /// [`sealock_trust::request::RequestError::NoSay`] where it has none in any.
    pub fn of_signer(&self, signer: &dyn Signer) -> Result<Vec<&Requested>, SignBundleError> {
        let keyid = signer.public_key().id();
        let has_say = |requested: &&Requested| {
            requested.request.asked().iter().any(|asked| asked.keys.keys().contains_key(keyid))
        };
        let found: Vec<&Requested> = self.all().filter(has_say).collect();
        if found.is_empty() {
            // Says who would have had a say.
            self.publisher.request.sign(signer)?;
        }
        Ok(found)
    }
}

/// What is to go out to those who shall sign the bundle `path`, and how far it is; the bundle stays as it is.
///
/// # Errors
/// When the file is not a whole bundle, or its metadata is not about its manifest.
pub fn requests(path: &Path, roots: &[Vec<u8>]) -> Result<Requests, SignBundleError> {
    finish_interrupted(path)?;
    let (archive, manifest) = open_whole(path)?;
    let set = current_set(&archive, &manifest, roots, None)?;
    Requests::of(&set, archive.manifest_bytes())
}

/// Adds signatures that came back from other machines; each is verified first, and none is added if one is refused.
///
/// Also says how far publisher and vendors are.
///
/// # Errors
/// As [`super::sign`], and where a signature file is not fit.
pub fn merge(
    path: &Path,
    roots: &[Vec<u8>],
    files: &[SignatureFile],
) -> Result<(SignedBundle, Merged, Vec<Tally>), SignBundleError> {
    let (signed, (merged, tally)) = rewrite(path, (roots, None), |set, manifest| {
        let requests = Requests::of(set, manifest)?;
        let (of_vendors, of_publisher): (Vec<_>, Vec<_>) = files.iter().cloned().partition(|file| {
            requests.vendors.iter().any(|(_, requested)| requested.request.digest() == file.request())
        });
        let mut signatures = set.signatures()?;
        let mut merged = requests.publisher.request.merge(&mut signatures, &of_publisher)?;
        set.set_signatures(&signatures)?;
        for (role, Requested { request, .. }) in &requests.vendors {
            let own: Vec<_> = of_vendors.iter().filter(|file| file.request() == request.digest()).cloned().collect();
            let mut signatures = set.vendor_signatures(role)?;
            merged.extend(request.merge(&mut signatures, &own)?);
            set.set_vendor_signatures(role, &signatures)?;
        }
        Ok((merged, Requests::of(set, manifest)?.tally()))
    })?;
    Ok((signed, merged, tally))
}

/// What the vendors of the bundle `path` have said in full: their files whose thresholds are met.
///
/// # Errors
/// When the file is not a whole bundle, or its metadata cannot be read.
pub fn words(path: &Path) -> Result<Words, SignBundleError> {
    let (archive, _) = open_whole(path)?;
    if archive.metadata().is_empty() {
        return Ok(Words::new());
    }
    let set = MetadataSet::from_files(archive.metadata().iter().cloned())?;
    let delegations = set.delegations()?.unwrap_or_default();
    let said = delegations.roles.iter().filter_map(|role| {
        let bytes = set.delegated.get(&role.name)?;
        VendorWord::open(bytes, role, &delegations.keys).ok().map(|_| (role.name.clone(), bytes.clone()))
    });
    Ok(said.collect())
}
