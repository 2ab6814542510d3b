//! A bundle on its way into the store: it stands in staging by a second name, and lends nothing yet.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use sealock_trust::Digest;

use super::{Contents, Offer, Problem};
use crate::blob::size_of_file;
use crate::durable::{ensure_folder, remove_if_there, rename, set_mode, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::store::Store;

/// A bundle that is to lend its blobs.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// The name that it has in staging.
    path: PathBuf,
    /// The digest of its manifest.
    manifest: Digest,
    contents: Contents,
    /// What the importer has found to be what its name says.
    confirmed: BTreeSet<Digest>,
}

impl Adopted {
    /// Gives the file of `offer`, whose manifest shall have the digest `manifest`, the name `path` in staging.
    pub(crate) fn new(store: &Store, offer: &Offer, path: PathBuf, manifest: &Digest) -> Result<Self, StoreError> {
        // What is hashed from here on is what the disk has.
        offer.sync()?;
        offer.link_to(store, &path)?;
        let contents = match Contents::read(offer.file(), manifest) {
            Ok(contents) => contents,
            Err(Problem::Read(error)) => return Err(error).during("read", &path),
            Err(Problem::Form(problem)) => {
                tracing::error!(problem, "a bundle cannot lend its blobs");
                return Err(StoreError::Foreign { path });
            }
        };
        // Its table of contents was hashed just now.
        let confirmed = BTreeSet::from([manifest.clone()]);
        Ok(Self { path, manifest: manifest.clone(), contents, confirmed })
    }

    /// The blob `digest` is what its name says.
    pub(crate) fn confirm(&mut self, digest: &Digest) {
        self.confirmed.insert(digest.clone());
    }

    /// Whether it can lend the blob.
    pub(crate) fn provides(&self, digest: &Digest) -> bool {
        self.confirmed.contains(digest) && self.contents.parts.contains_key(digest)
    }

    /// Refuses to lend what nobody has hashed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.contents.parts.keys().find(|digest| !self.confirmed.contains(*digest)) {
            Some(digest) => Err(StoreError::NotVerified { digest: digest.clone() }),
            None => Ok(()),
        }
    }

    /// Lends from here on. Durable when it returns.
    pub(crate) fn lend(&self, store: &Store) -> Result<(), StoreError> {
        let layout = &store.layout;
        set_mode(&self.path, 0o444).during("set the mode of", &self.path)?;
        failpoint::hit("sync mode").and_then(|()| File::open(&self.path)?.sync_all()).during("sync", &self.path)?;
        ensure_folder(&layout.lent(), 0o755)?;
        rename(&self.path, &layout.lender(&self.manifest))?;
        sync_folder(&layout.lent())?;
        // Of an earlier copy of this bundle, which this one has replaced: here every blob is whole.
        remove_if_there(&layout.withdrawn(&self.manifest))?;
        sync_folder(&layout.lent())?;
        for (digest, part) in &self.contents.parts {
            let own = store.blob_path(digest);
            if size_of_file(&own)?.is_some_and(|size| size != part.size) {
                tracing::warn!(%digest, "a blob in the store is damaged, and the bundle lends it: it has another size");
                remove_if_there(&own)?;
            }
        }
        Ok(())
    }
}
