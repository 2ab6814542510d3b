//! Where a machine fetches from: the site registry, or a copy of the site's store that lies on the machine, like one on a USB stick.
//!
//! Neither is believed: only what the signed release names is asked for, and every byte is judged by its digest.

use std::io::Read;
use std::path::{Path, PathBuf};

use sealock_store::Store;
use sealock_trust::Digest;

use crate::pull::{BlobReader, Client, Descriptor, MANIFEST_LIMIT, Manifest, PullError};

/// Where a machine fetches from.
#[derive(Debug)]
pub enum Source {
    /// The site registry.
    Registry(Client),
    /// A copy of the site's store.
    Store(StoreCopy),
}

/// A copy of the site's store, only read from.
#[derive(Debug)]
pub struct StoreCopy {
    store: Store,
}

impl Source {
    /// The manifest with `digest` in `repository`, verified and parsed.
    ///
    /// # Errors
    /// It is not there, or not what its digest says.
    pub fn manifest(&self, repository: &str, digest: &Digest) -> Result<Manifest, PullError> {
        match self {
            Self::Registry(client) => client.manifest(repository, digest),
            Self::Store(copy) => {
                let what = format!("{repository}@{digest}");
                let content = copy.small(&what, digest)?;
                serde_json::from_slice(&content).map_err(|source| PullError::Manifest { what, source })
            }
        }
    }

    /// The blob that `descriptor` describes. Reading it fails, before its end is reported, if its length or digest is wrong.
    ///
    /// # Errors
    /// It is not there.
    pub fn blob(&self, repository: &str, descriptor: &Descriptor) -> Result<BlobReader, PullError> {
        match self {
            Self::Registry(client) => client.blob(repository, descriptor),
            Self::Store(copy) => copy.blob(&format!("{repository}@{}", descriptor.digest), descriptor),
        }
    }
}

impl StoreCopy {
    /// The copy in `folder`.
    ///
    /// # Errors
    /// There is no store of a version that is read here.
    pub fn open(folder: &Path) -> Result<Self, PullError> {
        let failed = |source| PullError::Store { path: folder.to_owned(), source: Box::new(source) };
        Ok(Self { store: Store::open(folder).map_err(failed)? })
    }

    /// Whether the blob is in it.
    pub(crate) fn has(&self, digest: &Digest) -> Result<bool, PullError> {
        self.store.has_blob(digest).map_err(|source| self.failed(source))
    }

    /// The manifest or index `digest`, verified.
    pub(crate) fn small(&self, what: &str, digest: &Digest) -> Result<Vec<u8>, PullError> {
        let blob = self.open_blob(what, digest)?;
        if blob.size() > MANIFEST_LIMIT {
            return Err(PullError::Damaged { store: self.folder(), what: what.to_owned() });
        }
        let mut content = Vec::new();
        let failed = |source| PullError::Unread { store: self.folder(), what: what.to_owned(), source };
        blob.take(MANIFEST_LIMIT).read_to_end(&mut content).map_err(failed)?;
        if Digest::of(digest.algorithm(), &content) != *digest {
            return Err(PullError::Damaged { store: self.folder(), what: what.to_owned() });
        }
        Ok(content)
    }

    /// The blob that `descriptor` describes, judged as it is read. One that was cut short is refused before anything of it is read.
    pub(crate) fn blob(&self, what: &str, descriptor: &Descriptor) -> Result<BlobReader, PullError> {
        let blob = self.open_blob(what, &descriptor.digest)?;
        if blob.size() != descriptor.size {
            return Err(PullError::Damaged { store: self.folder(), what: what.to_owned() });
        }
        Ok(BlobReader::new(Box::new(blob), descriptor))
    }

    fn open_blob(&self, what: &str, digest: &Digest) -> Result<sealock_store::Blob, PullError> {
        let opened = self.store.open_blob(digest).map_err(|source| self.failed(source))?;
        opened.ok_or_else(|| PullError::Absent { store: self.folder(), what: what.to_owned() })
    }

    fn failed(&self, source: sealock_store::StoreError) -> PullError {
        PullError::Store { path: self.folder(), source: Box::new(source) }
    }

    fn folder(&self) -> PathBuf {
        self.store.path().to_owned()
    }
}
