//! Inside: whether the site has what a delta leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use sealock_store::release::Published;
use sealock_store::{Store, StoreError};
use sealock_trust::directory::TrustedRoot;
use sealock_trust::site::SiteRoot;
use sealock_trust::{Digest, StreamName, TrustDirectory};

use super::error::BaseMissing;
use super::needs::Parents;
use super::want::{FORMAT, WantList, WantedBlob};
use crate::manifest::{Blob, MAX_BYTES, Manifest};
use crate::media::Watch;
use crate::verify::VerifiedHeader;

/// The part of a station that tells what it holds. It needs no key.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    /// Where blobs and releases are kept.
    pub store: &'a Store,
    /// Whom the site trusts.
    pub trust: &'a TrustDirectory,
    /// Who the site is.
    pub site: &'a SiteRoot,
}

/// Checks that everything that a delta leaves out is at the site. A full bundle leaves out nothing.
///
/// A blob counts where it stands in the store with its promised size, *and* one of the base's manifests lists it that a
/// live release of the same publisher selects: so a delta can neither use nor feel out what others have brought. Contents
/// are not hashed again (docs/decisions/0008-a-deltas-base-is-not-hashed-again.md). Whoever relies on the answer holds the blobs before asking.
///
/// # Errors
/// [`BaseMissing::Blobs`] with the exact want-list.
pub fn check_base(header: &VerifiedHeader, inside: Inside<'_>, root: &TrustedRoot) -> Result<(), BaseMissing> {
    let manifest = header.manifest();
    let Some(base) = &manifest.base else { return Ok(()) };
    let releases = inside.store.live_releases(inside.site.site_keys())?;
    let held = manifests_held(inside.trust, root, &releases);
    let mut brought = BTreeMap::new();
    for digest in base.manifests.iter().filter(|digest| held.contains(digest)) {
        let blobs = read_manifest(inside.store, digest)?.map(|manifest| manifest.blobs).unwrap_or_default();
        brought.extend(blobs.into_iter().map(|blob| (blob.digest.clone(), blob)));
    }
    let mut wanted = Vec::new();
    for blob in manifest.expected() {
        let ours = brought.get(&blob.digest).filter(|ours| ours.size == blob.size);
        match ours {
            Some(ours) if inside.store.blob_size(&blob.digest)? == Some(blob.size) => {
                check_type(inside.store, ours, blob)?;
            }
            _ => wanted.push((blob, None)),
        }
    }
    for (blob, patch) in manifest.patched() {
        let is_ours = brought.get(&patch.base).is_some_and(|ours| ours.size == patch.base_size);
        if !is_ours || inside.store.blob_size(&patch.base)? != Some(patch.base_size) {
            wanted.push((blob, Some(&patch.base)));
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Err(BaseMissing::Blobs(Box::new(want_list(header, inside, wanted)?)))
}

/// What was brought as one thing, and is expected as another, is looked at once more.
fn check_type(store: &Store, brought: &Blob, expected: &Blob) -> Result<(), BaseMissing> {
    if (&brought.media_type, brought.role) == (&expected.media_type, expected.role) {
        return Ok(());
    }
    check_stored(store, expected)
}

/// What the store has is looked at once more.
///
/// # Errors
/// [`BaseMissing::TypeMismatch`] where it is not what `expected` says.
pub(crate) fn check_stored(store: &Store, expected: &Blob) -> Result<(), BaseMissing> {
    let mut watch = Watch::new(&expected.media_type, expected.role);
    let Some(blob) = store.open_blob(&expected.digest)? else { return Ok(()) };
    let mut content = Vec::new();
    let path = blob.path().to_owned();
    let failed = |source| StoreError::Io { action: "read", path, source };
    blob.take(watch.needs()).read_to_end(&mut content).map_err(failed)?;
    watch.push(&content);
    let digest = || expected.digest.clone();
    watch.finish().map_err(|mismatch| BaseMissing::TypeMismatch { digest: digest(), mismatch })
}

/// What is wanted where the base of `blob` is not what it was: the blob itself.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn wanted_whole(
    header: &VerifiedHeader,
    inside: Inside<'_>,
    blob: &Digest,
) -> Result<Option<BaseMissing>, BaseMissing> {
    let Some((blob, patch)) = header.manifest().patched().find(|(found, _)| found.digest == *blob) else {
        return Ok(None);
    };
    Ok(Some(BaseMissing::Blobs(Box::new(want_list(header, inside, vec![(blob, Some(&patch.base))])?))))
}

/// The manifests of this publisher's bundles that live releases select, the newest release's first, each once.
pub(crate) fn manifests_held(trust: &TrustDirectory, root: &TrustedRoot, releases: &[Published]) -> Vec<Digest> {
    let mut is_publishers = BTreeMap::new();
    let mut of_publisher = |stream: &str| {
        *is_publishers.entry(stream.to_owned()).or_insert_with(|| {
            let of_stream = stream.parse::<StreamName>().ok().and_then(|stream| trust.root_for(&stream).ok());
            of_stream.is_some_and(|found| found.enrolment.fingerprint == root.enrolment.fingerprint)
        })
    };
    let mut seen = BTreeSet::new();
    let selections = releases.iter().flat_map(|published| &published.release.streams);
    let held = selections.filter(|one| of_publisher(&one.stream) && seen.insert(&one.manifest));
    held.map(|one| one.manifest.clone()).collect()
}

/// A manifest that an import has kept in the store; nothing where it is gone or damaged.
fn read_manifest(store: &Store, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
    let content = read_blob(store, digest, MAX_BYTES)?.filter(|content| Digest::sha256(content) == *digest);
    let manifest = content.and_then(|content| Manifest::from_bytes(&content).ok());
    if manifest.is_none() {
        tracing::warn!(%digest, "the manifest of a bundle that a release selects is not in the store");
    }
    Ok(manifest)
}

/// A blob of at most `limit` bytes; nothing where there is none, or it cannot be read.
fn read_blob(store: &Store, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(blob) = store.open_blob(digest)?.filter(|blob| blob.size() <= limit) else { return Ok(None) };
    let mut content = Vec::new();
    let read = blob.take(limit).read_to_end(&mut content);
    Ok(read.is_ok().then_some(content))
}

/// What is wanted, each blob with the base that it was to be made of, where that is missing.
fn want_list(
    header: &VerifiedHeader,
    inside: Inside<'_>,
    wanted: Vec<(&Blob, Option<&Digest>)>,
) -> Result<WantList, StoreError> {
    let manifest = header.manifest();
    let digests: BTreeSet<&Digest> = wanted.iter().map(|(blob, _)| &blob.digest).collect();
    let mut parents = Parents::default();
    // Who needs a blob is a help to people: a payload that is damaged further on has the same want-list.
    if let Err(error) = header.stream(&mut parents, &mut |_| {}) {
        tracing::debug!(%error, "the manifests in the payload were not all read");
    }
    let at_site = manifest.expected().filter(|blob| Parents::is_one(blob) && !digests.contains(&blob.digest));
    for blob in at_site {
        if let Some(content) = read_blob(inside.store, &blob.digest, blob.size)? {
            parents.add(&blob.digest, &content);
        }
    }
    let mut needed = parents.needed_by(manifest, &digests);
    let mut blobs: Vec<WantedBlob> = wanted
        .into_iter()
        .map(|(blob, base)| WantedBlob {
            base: base.cloned(),
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: blob.media_type.clone(),
            role: blob.role,
            needed_by: needed.remove(&blob.digest).into_iter().flatten().collect(),
        })
        .collect();
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(WantList {
        format: FORMAT.to_owned(),
        site: inside.site.id().clone(),
        stream: manifest.stream.clone(),
        sequence: manifest.sequence,
        manifest: header.digest().clone(),
        blobs,
    })
}
