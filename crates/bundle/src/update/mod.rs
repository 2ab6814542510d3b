//! Replaces a station's own binary by one that an accepted bundle brought.
//!
//! Nothing else is a source: not a file, not a bundle that was never accepted, not a release that is no longer the current
//! one. The store's copy is hashed once more while it is written beside the old binary; one rename puts it in its place.

mod error;
mod install;

use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use sealock_store::release::{Published, Reference, ReferenceKind};
use sealock_store::{Store, StoreLock};
use sealock_trust::directory::Standing;
use sealock_trust::{Digest, SiteRoot, StreamName, TrustDirectory};
use semver::Version;
use serde::Deserialize;

use crate::artifact::{BINARY, BINARY_CONFIG};
use crate::binary::{Build, Description, MAX_BYTES};
use crate::import::Gate;

pub use error::UpdateError;
pub use install::{Installed, PREVIOUS};

/// An OCI manifest or config of ours is a few hundred bytes.
const MAX_DOCUMENT: u64 = 1 << 20;

/// A station whose binary is to be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Updater<'a> {
    /// Where the releases are kept.
    pub store: &'a Store,
    /// Whom the site trusts, and what was revoked.
    pub trust: &'a TrustDirectory,
    /// Who the site is.
    pub site: &'a SiteRoot,
}

/// A binary that the current release carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it is.
    pub description: Description,
    /// The name that it is carried under.
    pub name: String,
    /// The number of the release.
    pub release: u64,
    /// The stream that brought it.
    pub stream: StreamName,
    /// The digest of the file.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
}

/// What an installed binary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What it says of itself.
    pub description: Description,
    /// Its digest.
    pub digest: Digest,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

impl Present {
    /// Looks at the file `path`.
    ///
    /// # Errors
    /// [`UpdateError::NotSealock`], [`UpdateError::Io`].
    pub fn at(path: &Path) -> Result<Self, UpdateError> {
        let mut bytes = Vec::new();
        let failed = |source| UpdateError::io("read", path, source);
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let not_sealock = |source| UpdateError::NotSealock { path: path.to_owned(), source };
        let description = Description::of(&bytes).map_err(not_sealock)?;
        Ok(Self { description, digest: Digest::sha256(&bytes) })
    }
}

impl Updater<'_> {
    /// The binaries for `architecture` (as Go names it) in the current release, the newest version first. Empty where it
    /// carries none.
    ///
    /// # Errors
    /// [`UpdateError::Revoked`], [`UpdateError::Artifact`], and `STATE_REGRESSION` while the trust state is in doubt.
    pub fn offers(&self, architecture: &str) -> Result<Vec<Offer>, UpdateError> {
        let gate = Gate { store: self.store, trust: self.trust, site: self.site };
        gate.check_generation().map_err(|source| UpdateError::Site { source: Box::new(source) })?;
        let Some(current) = self.store.current_release(self.site.site_keys())? else { return Ok(Vec::new()) };
        let carried = current.release.references.iter().filter(|one| one.kind == ReferenceKind::Sealock);
        let mut offers = Vec::new();
        for reference in carried {
            let offer = self.offer(&current, reference)?;
            if offer.description.architecture == architecture {
                offers.push(offer);
            }
        }
        offers.sort_by(|a, b| b.description.version.cmp(&a.description.version));
        Ok(offers)
    }

    fn offer(&self, current: &Published, reference: &Reference) -> Result<Offer, UpdateError> {
        let malformed = || UpdateError::Artifact { name: reference.name.clone() };
        let stream: StreamName = reference.stream.parse().map_err(|_| malformed())?;
        let manifest: OciManifest =
            serde_json::from_slice(&self.document(&reference.digest)?).map_err(|_| malformed())?;
        let [layer] = manifest.layers.as_slice() else { return Err(malformed()) };
        if manifest.config.media_type != BINARY_CONFIG || layer.media_type != BINARY || layer.size > MAX_BYTES {
            return Err(malformed());
        }
        let description: Description =
            serde_json::from_slice(&self.document(&manifest.config.digest)?).map_err(|_| malformed())?;
        let bundle = current.release.selection(&reference.stream).map(|selection| &selection.manifest);
        let parts = [&reference.digest, &manifest.config.digest, &layer.digest];
        self.check_revoked(&stream, bundle.into_iter().chain(parts), &reference.name)?;
        if description.build != Build::Inside {
            return Err(UpdateError::Outside { name: reference.name.clone() });
        }
        Ok(Offer {
            description,
            name: reference.name.clone(),
            release: current.release.number,
            stream,
            digest: layer.digest.clone(),
            size: layer.size,
        })
    }

    /// Whether a live cluster uses it makes no difference: nothing that is revoked becomes the station's own program.
    fn check_revoked<'d>(
        &self,
        stream: &StreamName,
        digests: impl Iterator<Item = &'d Digest>,
        name: &str,
    ) -> Result<(), UpdateError> {
        let revoked = self.trust.revoked()?;
        for digest in digests {
            if let Standing::Blocked(entry) | Standing::Alarm(entry) = revoked.standing(stream, digest, false) {
                let (digest, reason) = (digest.clone(), entry.reason.clone());
                return Err(UpdateError::Revoked { name: name.to_owned(), digest, reason });
            }
        }
        Ok(())
    }

    /// A small blob, which has the digest that it is asked for by.
    fn document(&self, digest: &Digest) -> Result<Vec<u8>, UpdateError> {
        let lost = || UpdateError::Blob { digest: digest.clone() };
        let blob = self.store.open_blob(digest)?.filter(|blob| blob.size() <= MAX_DOCUMENT).ok_or_else(lost)?;
        let mut bytes = Vec::new();
        let path = blob.path().to_owned();
        let failed = |source| UpdateError::io("read", &path, source);
        blob.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(failed)?;
        if Digest::of(digest.algorithm(), &bytes) == *digest { Ok(bytes) } else { Err(lost()) }
    }

    /// Puts what `offer` names in the place of the binary at `path`, and keeps the old one beside it under the name with
    /// [`PREVIOUS`] behind it. `lock` comes with the time. `try_out` sees the new one before it counts, and may refuse it in words.
    ///
    /// Cut off anywhere, `path` is the old binary or the new one, and the same call finishes the work.
    ///
    /// # Errors
    /// [`UpdateError`]; but for those of the disk, nothing has changed.
    pub fn install(
        &self,
        lock: (&StoreLock, Timestamp),
        offer: &Offer,
        path: &Path,
        try_out: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<Installed, UpdateError> {
        let lost = || UpdateError::Blob { digest: offer.digest.clone() };
        let blob = self.store.open_blob(&offer.digest)?.filter(|blob| blob.size() == offer.size).ok_or_else(lost)?;
        let source =
            install::Source { content: Box::new(blob), digest: &offer.digest, description: &offer.description };
        install::run(lock, source, path, try_out)
    }

    /// Puts the binary back that the last update has replaced.
    ///
    /// # Errors
    /// [`UpdateError::NoPrevious`]; [`UpdateError::Blob`] where it is not the one that the log names.
    pub fn roll_back(
        &self,
        lock: (&StoreLock, Timestamp),
        path: &Path,
        try_out: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<Installed, UpdateError> {
        let kept = install::beside(path, PREVIOUS);
        let none = || UpdateError::NoPrevious { path: path.to_owned() };
        let digest = install::replaced_last(self.store, path)?.ok_or_else(none)?;
        let present = match Present::at(&kept) {
            Err(UpdateError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Err(none()),
            present => present?,
        };
        if present.digest != digest {
            return Err(UpdateError::Blob { digest });
        }
        let file = std::fs::File::open(&kept).map_err(|source| UpdateError::io("open", &kept, source))?;
        let source = install::Source { content: Box::new(file), digest: &digest, description: &present.description };
        install::run(lock, source, path, try_out)
    }
}

/// The offer that a person means: `version`, or the newest.
///
/// # Errors
/// [`UpdateError::NoSuchVersion`]; [`UpdateError::Downgrade`] where it is older than `installed`, and nobody said that it may be.
pub fn choose<'a>(
    offers: &'a [Offer],
    version: Option<&Version>,
    installed: &Version,
    may_downgrade: bool,
) -> Result<Option<&'a Offer>, UpdateError> {
    let wanted = |offer: &&Offer| version.is_none_or(|version| offer.description.version == *version);
    let Some(offer) = offers.iter().find(wanted) else {
        let carried = offers.iter().map(|offer| offer.description.version.clone()).collect();
        return version
            .map_or(Ok(None), |version| Err(UpdateError::NoSuchVersion { version: version.clone(), carried }));
    };
    let offered = &offer.description.version;
    if offered.cmp_precedence(installed).is_lt() && !may_downgrade {
        return Err(UpdateError::Downgrade { installed: installed.clone(), offered: offered.clone() });
    }
    Ok(Some(offer))
}
