//! Staging: blobs of one bundle that have arrived, but belong to no release yet.
//!
//! `staging/<manifest-digest>/blobs/<alg>/<hex>` holds finished blobs, `partial/` the ones being written. Both are on the
//! filesystem of the store, so that accepting a blob is a rename and its bytes are written once. `bundle.tar` is the second name
//! of a bundle that shall lend its blobs ([`crate::lent`]).

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::FallocateFlags;
use sealock_trust::{Digest, Hasher};

use crate::blob::{Blob, open_file, size_of_file};
use crate::blob_writer::BlobWriter;
use crate::durable::{ensure_folder, remove_folder_if_there, remove_if_there, rename, set_mode, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::layout::{ALGORITHMS, blob_in};
use crate::lent::{Adopted, Offer};
use crate::store::Store;
use crate::sync::Syncer;

const READ_AT_ONCE: usize = 256 * 1024;

/// The staging folder of one bundle.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    manifest: Digest,
    folder: PathBuf,
    /// Written or checked again in this process.
    finished: BTreeSet<Digest>,
    /// The bundle that is to lend its blobs.
    adopted: Option<Adopted>,
    syncer: Syncer,
}

impl Staging {
    pub(crate) fn open(store: &Store, manifest: &Digest) -> Result<Self, StoreError> {
        let folder = store.layout.staging(manifest);
        ensure_folder(&folder, 0o700)?;
        // What was being written when a process ended has no digest to be found again by.
        remove_folder_if_there(&folder.join("partial"))?;
        ensure_folder(&folder.join("partial"), 0o700)?;
        ensure_folder(&folder.join("blobs"), 0o700)?;
        for algorithm in ALGORITHMS {
            ensure_folder(&folder.join("blobs").join(algorithm.as_str()), 0o700)?;
        }
        let (syncer, finished) = (Syncer::start(&folder)?, BTreeSet::new());
        Ok(Self { store: store.clone(), manifest: manifest.clone(), folder, finished, adopted: None, syncer })
    }

    /// The digest of the manifest of the bundle.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Whether the blob is there whole, with this size: accepted into the store earlier, lent by a bundle, or staged.
    ///
    /// A blob that an interrupted import left here is hashed again, since a power loss may have torn it; it is dropped
    /// if it is not what its name says. An accepted blob with another size is damaged: it does not count, and is replaced
    /// when the blob is written again.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Foreign`].
    pub fn holds(&mut self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        match self.store.blob_size(digest)? {
            Some(actual) if actual == size => return Ok(true),
            Some(actual) => {
                tracing::warn!(%digest, size, actual, "a blob in the store is damaged: it has another size");
            }
            None => {}
        }
        if self.finished.contains(digest) {
            return Ok(true);
        }
        self.recover(digest, size)
    }

    /// Whether the store lacks the blob, or has a damaged one of another size.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Foreign`].
    pub fn is_new(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        Ok(self.store.blob_size(digest)? != Some(size))
    }

    /// Where the staged blob stands; it is there only after [`Staging::holds`] or [`BlobWriter::finish`] said so.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        blob_in(&self.folder.join("blobs"), digest)
    }

    /// Opens a blob that this process has staged, or that the store holds.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Foreign`].
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        if !self.finished.contains(digest) {
            return self.store.open_blob(digest);
        }
        let path = self.blob_path(digest);
        Ok(open_file(&path)?.map(|(file, size)| Blob::whole(file, path, size)))
    }

    /// Takes the bundle of this manifest in as it is: what the store lacks of it, it will lend. Until the release is published
    /// it keeps the name that it was given by, too.
    ///
    /// # Errors
    /// [`StoreError::OtherFilesystem`]; [`StoreError::OtherFile`]; [`StoreError::Foreign`] where it is not the bundle of this
    /// manifest, or a delta.
    pub fn adopt(&mut self, offer: &Offer) -> Result<(), StoreError> {
        let path = self.folder.join("bundle.tar");
        self.adopted = Some(Adopted::new(&self.store, offer, path, &self.manifest)?);
        Ok(())
    }

    /// The blob `digest` of the bundle that was taken in is what its name says.
    pub fn confirm(&mut self, digest: &Digest) {
        if let Some(adopted) = &mut self.adopted {
            adopted.confirm(digest);
        }
    }

    /// Begins to write the blob `digest` of `size` bytes. Room for all of it is reserved first.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] where `size` bytes do not fit; [`StoreError::Io`].
    pub fn write_blob(&mut self, digest: &Digest, size: u64) -> Result<BlobWriter<'_>, StoreError> {
        let partial = self.folder.join("partial").join(digest.hex());
        remove_if_there(&partial)?;
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o444).open(&partial);
        let file = failpoint::hit("create blob").and_then(|()| open()).during("create", &partial)?;
        set_mode(&partial, 0o444).during("set the mode of", &partial)?;
        let writer = BlobWriter::new(self, file, partial, digest.clone(), size);
        writer.reserve()?;
        Ok(writer)
    }

    /// Removes a blob that was staged for the sake of another one, and is of no more use. What the store holds stays.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn forget(&mut self, digest: &Digest) -> Result<(), StoreError> {
        if !self.finished.remove(digest) {
            return Ok(());
        }
        let path = self.blob_path(digest);
        failpoint::hit("forget blob").and_then(|()| fs::remove_file(&path)).during("remove", &path)
    }

    /// Moves a whole blob into its place among the finished ones, and has it made durable.
    pub(crate) fn keep(&mut self, digest: &Digest, file: File, partial: &std::path::Path) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        rename(partial, &path)?;
        self.syncer.push(file, path);
        self.finished.insert(digest.clone());
        Ok(())
    }

    /// Gives up the staging folder and everything in it, as for a refused bundle.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard(self) -> Result<(), StoreError> {
        // Whether its blobs reached the disk no longer matters.
        drop(self.syncer);
        remove_folder_if_there(&self.folder)
    }

    /// Moves every finished blob into the store and removes the folder. Durable when it returns.
    ///
    /// What stands here unchecked from an earlier run is not moved. Of two that have the same size the one in the store is
    /// kept, unless `replaces` says that it has rotted.
    pub(crate) fn promote(self, replaces: bool) -> Result<(), StoreError> {
        let synced = failpoint::hit("sync blobs").during("sync", &self.folder).and_then(|()| self.syncer.finish());
        if let Err(error) = synced {
            // After a failed sync the page cache may look whole while the disk is not: never found again, never trusted.
            remove_folder_if_there(&self.folder)?;
            return Err(error);
        }
        for digest in &self.finished {
            let (staged, target) = (blob_in(&self.folder.join("blobs"), digest), self.store.blob_path(digest));
            // Both are whole: keeping the old one spares a rename and keeps its readers' page cache. Unless it is damaged.
            if replaces || size_of_file(&target)? != size_of_file(&staged)? {
                rename(&staged, &target)?;
            }
        }
        for algorithm in ALGORITHMS {
            sync_folder(&self.store.layout.blobs().join(algorithm.as_str()))?;
        }
        if let Some(adopted) = &self.adopted {
            adopted.lend(&self.store)?;
        }
        remove_folder_if_there(&self.folder)
    }

    /// Refuses to lend what nobody has hashed.
    pub(crate) fn check_adopted(&self) -> Result<(), StoreError> {
        self.adopted.as_ref().map_or(Ok(()), Adopted::check)
    }

    /// What was written or checked in this process.
    pub(crate) fn finished(&self) -> impl Iterator<Item = &Digest> {
        self.finished.iter()
    }

    /// Whether a release that is published together with this staging folder could use the blob.
    pub(crate) fn would_provide(&self, digest: &Digest) -> Result<bool, StoreError> {
        let is_lent = self.adopted.as_ref().is_some_and(|adopted| adopted.provides(digest));
        Ok(is_lent || self.finished.contains(digest) || self.store.has_blob(digest)?)
    }

    fn recover(&mut self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let path = self.blob_path(digest);
        if size_of_file(&path)?.is_none() {
            return Ok(false);
        }
        let (file, actual) = hash_file(&path, digest)?;
        let found = file.metadata().during("look at", &path)?.len();
        if actual != *digest || found != size {
            tracing::warn!(%digest, "a staged blob was damaged, and is fetched again");
            remove_if_there(&path)?;
            return Ok(false);
        }
        self.syncer.push(file, path);
        self.finished.insert(digest.clone());
        Ok(true)
    }
}

fn hash_file(path: &std::path::Path, expected: &Digest) -> Result<(File, Digest), StoreError> {
    let mut file = File::open(path).during("open", path)?;
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; READ_AT_ONCE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((file, hasher.finish())),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).during("read", path),
        }
    }
}

/// Reserves `size` bytes for `file`, so that a full disk shows before the first byte.
pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    // Asked for more than there is, some filesystems take all there is before they say no.
    let status = rustix::fs::fstatvfs(file)?;
    if size > status.f_bfree.saturating_mul(status.f_frsize) {
        return Err(rustix::io::Errno::NOSPC.into());
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
        // Not every filesystem can; there the writes themselves find out.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

impl Store {
    /// The folders that imports left in `staging/`, by name: unfinished, or not yet published.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn stagings(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.layout.stagings();
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).during("read", &folder)? {
            names.push(entry.during("read", &folder)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}
