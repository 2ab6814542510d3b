//! Reads manifests from the store, and finds out what hangs on them.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use sealock_store::oci::{Descriptor, LONGEST_MANIFEST, Manifest};
use sealock_store::{Store, StoreError};
use sealock_trust::Digest;

/// How deep an index may nest.
const DEEPEST: usize = 8;

/// Why something a release names cannot be served.
#[derive(Debug, thiserror::Error)]
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
    #[error("the manifest {digest} is longer than {LONGEST_MANIFEST} bytes")]
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
    /// Another name that leads to the same tag came first.
    #[error("its tag is {first} already, under another spelling of the name")]
    Taken {
        /// What the tag stands for.
        first: Digest,
    },
    /// The name is none that a registry can answer to.
    #[error("it is no legal reference")]
    Name,
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

/// Reads each manifest once, however many names lead to it.
pub(crate) struct Reader<'a> {
    store: &'a Store,
    known: HashMap<Digest, Arc<Manifest>>,
    /// Blobs that were seen in the store, with their sizes.
    sizes: HashMap<Digest, u64>,
}

/// Everything that can be pulled under one name.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// An index may name the same child often, and its children too: each is followed once.
    seen: HashSet<Digest>,
    pub(crate) manifests: Vec<Arc<Manifest>>,
    pub(crate) blobs: Vec<(Digest, u64)>,
}

impl Closure {
    /// Everything in it.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().map(|manifest| &manifest.digest).chain(self.blobs.iter().map(|(digest, _)| digest))
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, known: HashMap::new(), sizes: HashMap::new() }
    }

    /// Everything that hangs on the manifest or index `digest`, which a release calls `media_type`.
    ///
    /// Platforms that an index names and the store lacks were left out on purpose; anything else must be there.
    pub(crate) fn closure(&mut self, digest: &Digest, media_type: &str) -> Result<Closure, ClosureError> {
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
        let bytes = self.read(digest)?;
        let form = |source| ClosureError::Form { digest: digest.clone(), source };
        let manifest = Arc::new(Manifest::parse(digest.clone(), media_type, bytes.into()).map_err(form)?);
        self.known.insert(digest.clone(), manifest.clone());
        Ok(manifest)
    }

    fn read(&self, digest: &Digest) -> Result<Vec<u8>, ClosureError> {
        let blob = self.store.open_blob(digest)?.ok_or_else(|| ClosureError::Missing { digest: digest.clone() })?;
        if blob.size > LONGEST_MANIFEST {
            return Err(ClosureError::TooLong { digest: digest.clone() });
        }
        let mut bytes = Vec::new();
        let read = |source| ClosureError::Read { digest: digest.clone(), source };
        blob.file.take(LONGEST_MANIFEST).read_to_end(&mut bytes).map_err(read)?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(ClosureError::Damaged { digest: digest.clone(), actual });
        }
        Ok(bytes)
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
