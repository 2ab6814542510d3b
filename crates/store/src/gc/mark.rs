//! The full mark: from the roots along every manifest to everything that is kept.
//!
//! A mark that cannot read something does not know what hangs on it. It goes on, and says so: then nothing is deleted.

use std::collections::{HashMap, HashSet};

use sealock_trust::Digest;
use serde::Deserialize;

use super::report::{Missing, chain};
use super::roots::{Keeper, Releases, Root, RootKind};
use crate::closure::{self, ClosureError, DEEPEST};
use crate::error::StoreError;
use crate::oci::Manifest;
use crate::release::{Published, Selection};
use crate::store::Store;

/// No `manifest.json` is longer than this; in bytes (docs/formats/manifest.md).
const LONGEST_BUNDLE_MANIFEST: u64 = 24 << 20;

/// What a mark found.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// Everything that is kept, and for whose sake.
    pub(super) kept: HashMap<Digest, Keeper>,
    /// What is kept, and is not there, or not as it was: nothing hangs on it.
    pub(super) missing: Vec<Missing>,
    /// Why it is not known what is garbage.
    pub(super) doubts: Vec<String>,
}

/// What is read of a bundle's `manifest.json` here; the rest belongs to `bundle`.
#[derive(Deserialize)]
struct Listing {
    blobs: Vec<Listed>,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) digest: Digest,
    size: u64,
}

/// Marks from the releases, from holds and from `more`.
pub(super) fn mark(store: &Store, releases: &Releases, more: &[Root]) -> Mark {
    let mut marker = Marker { store, mark: Mark::default(), walked: HashSet::new() };
    for (number, error) in &releases.unreadable {
        marker.doubt(format!("what release {number} keeps is not known: {}", chain(error)));
    }
    for published in &releases.live {
        marker.release(published);
    }
    match store.held_blobs() {
        Ok(held) => held.into_iter().for_each(|digest| marker.keep(digest, &Keeper::Hold)),
        Err(error) => marker.doubt(format!("what unfinished imports hold is not known: {}", chain(&error))),
    }
    for Root { digest, kind, keeper } in more {
        match kind {
            RootKind::Manifest(media_type) => marker.walk(digest, media_type, DEEPEST, keeper),
            RootKind::Blob => marker.keep(digest.clone(), keeper),
        }
    }
    marker.mark
}

/// What the bundle of `selection` lists.
pub(super) fn listing(store: &Store, selection: &Selection) -> Result<Vec<Listed>, ClosureError> {
    let bytes = closure::read(store, &selection.manifest, LONGEST_BUNDLE_MANIFEST)?;
    let form = |source| ClosureError::Form { digest: selection.manifest.clone(), source };
    serde_json::from_slice(&bytes).map(|listing: Listing| listing.blobs).map_err(form)
}

struct Marker<'a> {
    store: &'a Store,
    mark: Mark,
    /// Manifests whose children are kept already.
    walked: HashSet<Digest>,
}

impl Marker<'_> {
    fn doubt(&mut self, doubt: String) {
        self.mark.doubts.push(doubt);
    }

    fn keep(&mut self, digest: Digest, keeper: &Keeper) {
        self.mark.kept.entry(digest).or_insert_with(|| keeper.clone());
    }

    fn miss(&mut self, digest: &Digest, keeper: &Keeper, problem: String) {
        self.mark.missing.push(Missing { digest: digest.clone(), needed_by: keeper.to_string(), problem });
    }

    fn release(&mut self, published: &Published) {
        let release = &published.release;
        let keeper = Keeper::Release(release.number);
        for reference in &release.references {
            self.walk(&reference.digest, &reference.media_type, DEEPEST, &keeper);
        }
        for selection in &release.streams {
            self.bundle(release.number, selection, published);
        }
    }

    /// What a bundle lists, a delta of it may rely on. Signed apart from what leads through the manifests, it is the other
    /// account of what the release needs, and the two have to agree.
    fn bundle(&mut self, release: u64, selection: &Selection, published: &Published) {
        let Selection { stream, sequence, manifest, .. } = selection;
        let keeper = Keeper::Bundle { release, stream: stream.clone(), sequence: *sequence };
        self.keep(manifest.clone(), &keeper);
        let listed = match listing(self.store, selection) {
            Ok(listed) => listed,
            Err(error) => {
                self.miss(manifest, &keeper, chain(&error));
                return self.doubt(format!("what {keeper} lists is not known: {}", chain(&error)));
            }
        };
        let names: HashSet<&Digest> = listed.iter().map(|one| &one.digest).collect();
        let of_stream = published.release.references.iter().filter(|reference| reference.stream == *stream);
        if let Some(one) = of_stream.into_iter().find(|reference| !names.contains(&reference.digest)) {
            self.doubt(format!("release {release} names {} as {}, which {keeper} does not list", one.name, one.digest));
        }
        for Listed { digest, size } in listed {
            self.expect(&digest, size, &keeper);
            self.keep(digest, &keeper);
        }
    }

    /// Keeps the manifest or index and everything below it.
    fn walk(&mut self, digest: &Digest, media_type: &str, depth: usize, keeper: &Keeper) {
        self.keep(digest.clone(), keeper);
        if !self.walked.insert(digest.clone()) {
            return;
        }
        let manifest = match Manifest::read(self.store, digest, media_type) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.miss(digest, keeper, chain(&error));
                return self.doubt(format!("what hangs on {digest} of {keeper} is not known: {}", chain(&error)));
            }
        };
        let parts = manifest.parts;
        for child in &parts.manifests {
            match (self.store.has_blob(&child.digest), depth.checked_sub(1)) {
                // A platform that was left out.
                (Ok(false), _) => {}
                (Ok(true), Some(depth)) => self.walk(&child.digest, &child.media_type, depth, keeper),
                (Ok(true), None) => self.doubt(format!("the indexes above {digest} nest deeper than {DEEPEST}")),
                (Err(error), _) => self.doubt(chain(&error)),
            }
        }
        for blob in parts.config.iter().chain(&parts.layers) {
            if !blob.is_distributed_elsewhere() {
                self.expect(&blob.digest, blob.size, keeper);
            }
            self.keep(blob.digest.clone(), keeper);
        }
    }

    /// Notes what is kept and not there. Once for each blob: `keep` comes after.
    fn expect(&mut self, digest: &Digest, size: u64, keeper: &Keeper) {
        if self.mark.kept.contains_key(digest) {
            return;
        }
        match self.store.blob_size(digest) {
            Ok(Some(actual)) if actual == size => {}
            Ok(Some(actual)) => {
                self.miss(digest, keeper, format!("{digest} has {actual} bytes in the store, and not {size}"));
            }
            Ok(None) => self.miss(digest, keeper, format!("{digest} is not in the store")),
            Err(error) => self.doubt(chain(&error)),
        }
    }
}

/// Every blob in the store, with its size. What bears no digest for a name is none.
pub(crate) fn blobs(store: &Store) -> Result<HashMap<Digest, u64>, StoreError> {
    let mut blobs = HashMap::new();
    store.each_blob(&mut |digest, size| {
        blobs.insert(digest, size);
    })?;
    Ok(blobs)
}
