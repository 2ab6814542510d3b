//! Where reachability begins.

use std::fmt;

use sealock_trust::{Digest, KeySet};

use crate::error::StoreError;
use crate::liveness::Standing;
use crate::pushed::Snapshot;
use crate::release::Published;
use crate::store::Store;

/// A blob that is kept, whatever leads to it, and with it what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The blob.
    pub digest: Digest,
    /// Whether something hangs on it.
    pub kind: RootKind,
    /// For whose sake.
    pub keeper: Keeper,
}

/// Whether something hangs on a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A manifest or an index, with the media type that it goes by: empty where nobody says.
    Manifest(String),
    /// Bytes.
    Blob,
}

/// For whose sake a blob is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keeper {
    /// A live release names it, or something that leads to it.
    Release(u64),
    /// A bundle that a live release selects lists it: the site's receipt vouches for it, and the next delta may build on it.
    Bundle {
        /// The release.
        release: u64,
        /// The stream of the bundle.
        stream: String,
        /// Its sequence.
        sequence: u64,
    },
    /// An import that is not finished needs it.
    Hold,
    /// It was pushed into this repository.
    Pushed(String),
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(number) => write!(f, "release {number}"),
            Self::Bundle { release, stream, sequence } => write!(f, "{stream} {sequence} of release {release}"),
            Self::Hold => f.write_str("an import that is not finished"),
            Self::Pushed(repository) => write!(f, "the repository {repository}"),
        }
    }
}

/// Everything that was pushed: manifests with what hangs on them, and blobs that wait for one.
pub(super) fn of_pushed(snapshot: &Snapshot) -> Vec<Root> {
    let mut roots = Vec::new();
    for (name, repository) in snapshot.repositories(None) {
        let keeper = || Keeper::Pushed(name.clone());
        roots.extend(repository.manifests().map(|held| Root {
            digest: held.manifest.digest.clone(),
            kind: RootKind::Manifest(held.manifest.media_type.clone()),
            keeper: keeper(),
        }));
        let waiting = repository.blobs().map(|(digest, _)| digest.clone());
        roots.extend(waiting.map(|digest| Root { digest, kind: RootKind::Blob, keeper: keeper() }));
    }
    roots.extend(snapshot.lost().map(|(name, digest, lost)| Root {
        digest: digest.clone(),
        kind: RootKind::Manifest(lost.entry.media_type.clone()),
        keeper: Keeper::Pushed(name.to_owned()),
    }));
    roots
}

/// The releases of a store, by whether they are live.
#[derive(Debug, Default)]
pub(super) struct Releases {
    /// Newest first.
    pub(super) live: Vec<Published>,
    /// Oldest first; those that can be read.
    pub(super) retired: Vec<Published>,
    /// Live ones that cannot be read: nobody knows what they keep.
    pub(super) unreadable: Vec<(u64, StoreError)>,
}

impl Releases {
    /// Reads every release; those of `leaving` as if they were retired already.
    pub(super) fn read(store: &Store, keys: &KeySet, standing: &Standing, leaving: &[u64]) -> Result<Self, StoreError> {
        let mut releases = Self::default();
        for number in 1..=store.current_number()?.unwrap_or(0) {
            let is_live = standing.is_live(number) && !leaving.contains(&number);
            match store.release(number, keys) {
                Ok(published) if is_live => releases.live.insert(0, published),
                Ok(published) => releases.retired.push(published),
                Err(error) if is_live => releases.unreadable.push((number, error)),
                // What it kept is gone, or is somebody else's.
                Err(error) => tracing::debug!(number, %error, "a retired release cannot be read"),
            }
        }
        Ok(releases)
    }
}
