//! Reads manifests from the store, and finds out what hangs on them: the one reader that the registry, the garbage
//! collector and the check have in common.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use sealock_trust::Digest;

use crate::error::StoreError;
use crate::failpoint;
use crate::oci::{Descriptor, LONGEST_MANIFEST, Manifest};
use crate::store::Store;

/// How deep an index may nest.
pub(crate) const DEEPEST: usize = 8;

/// Why it is not known what hangs on a manifest, or why not all of it is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClosureError {
    /// A blob is not in the store.
    #[error("{digest} is not in the store")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// A blob in the store has another size than a manifest says.
    #[error("{digest} has {actual} bytes in the store, and its manifest says {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the manifest says, in bytes.
        expected: u64,
        /// What the store has, in bytes.
        actual: u64,
    },
    /// A manifest in the store is damaged.
    #[error("the manifest {digest} is damaged: its content is {actual}")]
    Damaged {
        /// The digest it stands under.
        digest: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// A manifest is not one.
    #[error("{digest} is no manifest")]
    Form {
        /// The blob.
        digest: Digest,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A manifest is longer than clients accept.
    #[error("the manifest {digest} is longer than any is")]
    TooLong {
        /// The blob.
        digest: Digest,
    },
    /// Indexes nest too deep.
    #[error("the indexes above {digest} nest deeper than {DEEPEST}")]
    TooDeep {
        /// The blob at which it was seen.
        digest: Digest,
    },
    /// The blob could not be read.
    #[error("{digest} cannot be read")]
    Read {
        /// The blob.
        digest: Digest,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ClosureError {
    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Read { .. } => true,
            Self::Store(source) => source.is_environment(),
            _ => false,
        }
    }
}

impl Manifest {
    /// Reads the manifest `digest`, which something calls `media_type`; without a word where that is empty.
    ///
    /// # Errors
    /// [`ClosureError`]: it is not there, is damaged, or is no manifest.
    pub fn read(store: &Store, digest: &Digest, media_type: &str) -> Result<Self, ClosureError> {
        let bytes = read(store, digest, LONGEST_MANIFEST)?;
        let form = |source| ClosureError::Form { digest: digest.clone(), source };
        Self::parse(digest.clone(), media_type, bytes.into()).map_err(form)
    }
}

/// The blob `digest`, which has at most `limit` bytes and the digest that it stands under.
pub(crate) fn read(store: &Store, digest: &Digest, limit: u64) -> Result<Vec<u8>, ClosureError> {
    let blob = store.open_blob(digest)?.ok_or_else(|| ClosureError::Missing { digest: digest.clone() })?;
    if blob.size() > limit {
        return Err(ClosureError::TooLong { digest: digest.clone() });
    }
    let mut bytes = Vec::new();
    let read = |source| ClosureError::Read { digest: digest.clone(), source };
    failpoint::hit("read manifest").map_err(read)?;
    blob.take(limit).read_to_end(&mut bytes).map_err(read)?;
    let actual = Digest::of(digest.algorithm(), &bytes);
    if actual != *digest {
        return Err(ClosureError::Damaged { digest: digest.clone(), actual });
    }
    Ok(bytes)
}

/// Reads each manifest once, however many names lead to it.
#[derive(Debug)]
pub struct Reader<'a> {
    store: &'a Store,
    known: HashMap<Digest, Arc<Manifest>>,
    /// Blobs that were seen in the store, with their sizes.
    sizes: HashMap<Digest, u64>,
}

/// Everything that can be pulled under one name.
#[derive(Debug, Default)]
pub struct Closure {
    /// An index may name the same child often, and its children too: each is followed once.
    seen: HashSet<Digest>,
    /// Manifests and indexes, children first.
    pub manifests: Vec<Arc<Manifest>>,
    /// Configs and layers, with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
}

impl Closure {
    /// Everything in it.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().map(|manifest| &manifest.digest).chain(self.blobs.iter().map(|(digest, _)| digest))
    }
}

impl<'a> Reader<'a> {
    /// Of `store`. What was read is kept for as long as the reader.
    pub fn new(store: &'a Store) -> Self {
        Self { store, known: HashMap::new(), sizes: HashMap::new() }
    }

    /// Everything that hangs on the manifest or index `digest`, which a release calls `media_type`.
    ///
    /// Platforms that an index names and the store lacks were left out on purpose; anything else must be there.
    ///
    /// # Errors
    /// [`ClosureError`].
    pub fn closure(&mut self, digest: &Digest, media_type: &str) -> Result<Closure, ClosureError> {
        let mut closure = Closure::default();
        self.descend(digest, media_type, DEEPEST, &mut closure)?;
        Ok(closure)
    }

    fn descend(
        &mut self,
        digest: &Digest,
        media_type: &str,
        depth: usize,
        to: &mut Closure,
    ) -> Result<(), ClosureError> {
        if !to.seen.insert(digest.clone()) {
            return Ok(());
        }
        let manifest = self.manifest(digest, media_type)?;
        for child in &manifest.parts.manifests {
            if !self.store.has_blob(&child.digest)? {
                continue;
            }
            let depth = depth.checked_sub(1).ok_or_else(|| ClosureError::TooDeep { digest: digest.clone() })?;
            self.descend(&child.digest, &child.media_type, depth, to)?;
        }
        for blob in manifest.parts.config.iter().chain(&manifest.parts.layers) {
            if let Some(size) = self.size(blob)? {
                to.blobs.push((blob.digest.clone(), size));
            }
        }
        to.manifests.push(manifest);
        Ok(())
    }

    fn manifest(&mut self, digest: &Digest, media_type: &str) -> Result<Arc<Manifest>, ClosureError> {
        if let Some(manifest) = self.known.get(digest) {
            return Ok(manifest.clone());
        }
        let manifest = Arc::new(Manifest::read(self.store, digest, media_type)?);
        self.known.insert(digest.clone(), manifest.clone());
        Ok(manifest)
    }

    /// The size of a config or layer; nothing for a layer that the store need not have.
    fn size(&mut self, blob: &Descriptor) -> Result<Option<u64>, ClosureError> {
        let actual = match self.sizes.get(&blob.digest) {
            Some(&size) => size,
            None => match self.store.blob_size(&blob.digest)? {
                Some(size) => size,
                None if blob.is_distributed_elsewhere() => return Ok(None),
                None => return Err(ClosureError::Missing { digest: blob.digest.clone() }),
            },
        };
        if actual != blob.size {
            return Err(ClosureError::Size { digest: blob.digest.clone(), expected: blob.size, actual });
        }
        self.sizes.insert(blob.digest.clone(), actual);
        Ok(Some(actual))
    }
}
