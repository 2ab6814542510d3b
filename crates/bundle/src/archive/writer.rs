//! Writes a bundle: blobs go straight to their final place, in any order, from any thread.
//!
//! `NAME.partial` has the final size from the start. `NAME.partial.progress` names the blobs in it that are durable; a
//! line is appended only after the data, so a build that was cut off is taken up again by the same call.

mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use sealock_trust::{Digest, Hasher};

use super::layout::{self, HeaderParts, MetadataFiles, Slot};
use super::types::Types;
use super::{ArchiveError, Flock, IoContext, Medium};
use crate::artifact;
use crate::index;
use crate::lock::{BlobRole, BlobSource, Lock, LockError, LockedBlob};
use crate::manifest::Manifest;
use crate::media::Watch;
use crate::sign;

use progress::Progress;

/// What may be lost when a build is cut off, in bytes: so much is written between two syncs.
const SYNC_EVERY: u64 = 64 << 20;

/// A bundle in the making. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    partial: PathBuf,
    file: Flock,
    /// With those of its blobs that are carried whole.
    lock: Lock,
    /// The patches that are carried.
    patches: Vec<Digest>,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    index: Vec<u8>,
    /// Bytes of the header that are kept for vendors.
    vendor_room: u64,
    revocations: Option<Vec<u8>>,
    header_size: u64,
    slots: BTreeMap<Digest, Slot>,
    progress: Mutex<Progress>,
}

/// Where the bundle `path` stands while it is not finished.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Removes what a build leaves beside `path` that died right after the bundle had got its name.
///
/// # Errors
/// [`ArchiveError::Io`].
pub fn forget_progress(path: &Path) -> Result<(), ArchiveError> {
    let partial = partial_path(path);
    if partial.exists() {
        // Somebody is building here.
        return Ok(());
    }
    let progress = Progress::path_of(&partial);
    match fs::remove_file(&progress) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", &progress),
        _ => Ok(()),
    }
}

impl Writer {
    /// Begins the bundle that `lock` determines, to appear at `path`; or goes on with it, where that was begun before.
    ///
    /// # Errors
    /// [`ArchiveError::DiskFull`] before the first byte is fetched, [`ArchiveError::Busy`], [`ArchiveError::Lock`].
    pub fn create(path: &Path, lock: &Lock) -> Result<Self, ArchiveError> {
        Self::create_with(path, lock, &Manifest::from_lock(lock)?)
    }

    /// As [`Writer::create`], with the `manifest` that `lock` makes under a receipt: a delta ([`crate::delta`]).
    ///
    /// # Errors
    /// As [`Writer::create`], and where the manifest is of another lock.
    pub fn create_with(path: &Path, lock: &Lock, manifest: &Manifest) -> Result<Self, ArchiveError> {
        Self::create_carrying(path, (lock, manifest), None)
    }

    /// As [`Writer::create_with`], with the publisher's revocation list, which travels in the header.
    ///
    /// # Errors
    /// As [`Writer::create_with`], and [`ArchiveError::Limit`] for a list that no reader would take.
    pub fn create_carrying(
        path: &Path,
        (lock, manifest): (&Lock, &Manifest),
        revocations: Option<Vec<u8>>,
    ) -> Result<Self, ArchiveError> {
        if revocations.as_ref().is_some_and(|list| list.len() as u64 > layout::MAX_REVOCATIONS) {
            return Err(ArchiveError::Limit { what: "bytes of the revocation list", limit: layout::MAX_REVOCATIONS });
        }
        if manifest.lock != lock.digest()? {
            return Err(LockError::Inconsistent("the manifest was made from another one".to_owned()).into());
        }
        let mut lock = lock.clone();
        lock.sort();
        let carried: BTreeSet<&Digest> = manifest.carried().map(|blob| &blob.digest).collect();
        lock.blobs.retain(|blob| carried.contains(&blob.digest));
        let manifest_bytes = manifest.to_bytes()?;
        let index = index::of(manifest).map_err(|_| ArchiveError::Index)?;
        let parts = HeaderParts {
            index: &index,
            metadata: &MetadataFiles::new(),
            manifest: &manifest_bytes,
            revocations: revocations.as_deref(),
            publisher_keys: lock.publisher_keys,
            vendor_room: manifest.vendor_room(),
        };
        let header_size = parts.size();
        let slots = layout::slots_of(manifest);
        let total = header_size + slots.last().map_or(0, Slot::end) + layout::END;
        let partial = partial_path(path);
        let file = open_locked(&partial)?;
        let progress = Progress::open(&partial, &what_is_built(&manifest_bytes, revocations.as_deref()), &file)?;
        reserve(&file, &partial, total)?;
        let slots = manifest.entries().map(|entry| entry.digest().clone()).zip(slots).collect();
        let patches = manifest.patched().map(|(_, patch)| patch.digest.clone()).collect();
        let shared = Shared {
            path: path.to_owned(),
            partial,
            file,
            lock,
            patches,
            manifest: manifest.clone(),
            manifest_bytes,
            index,
            vendor_room: manifest.vendor_room(),
            revocations,
            header_size,
            slots,
            progress: Mutex::new(progress),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The blobs that are fetched for this bundle, there or not, in the order of the archive.
    pub fn fetched(&self) -> impl Iterator<Item = &LockedBlob> {
        self.shared.lock.blobs.iter().filter(|blob| !blob.is_generated())
    }

    /// The blobs that have to be fetched still, in the order of the archive.
    pub fn missing(&self) -> Vec<LockedBlob> {
        let progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |blob: &&LockedBlob| !blob.is_generated() && !progress.has(&blob.digest);
        self.shared.lock.blobs.iter().filter(is_missing).cloned().collect()
    }

    /// The patches that have to be written still, in no particular order.
    pub fn missing_patches(&self) -> Vec<Digest> {
        let progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.patches.iter().filter(|patch| !progress.has(patch)).cloned().collect()
    }

    /// The place of the blob or patch `digest`, to be filled from its beginning.
    ///
    /// # Errors
    /// [`ArchiveError::UnknownBlob`].
    pub fn slot(&self, digest: &Digest) -> Result<SlotWriter, ArchiveError> {
        let slot = self.shared.slots.get(digest);
        let slot = slot.ok_or_else(|| ArchiveError::UnknownBlob(digest.clone()))?;
        Ok(SlotWriter {
            shared: Arc::clone(&self.shared),
            start: self.shared.header_size + slot.data,
            size: slot.size,
            digest: digest.clone(),
            hasher: Hasher::new(digest.algorithm()),
            watch: self.watch(digest),
            written: 0,
        })
    }

    fn watch(&self, digest: &Digest) -> Watch {
        let blob = self.shared.lock.blobs.iter().find(|blob| blob.digest == *digest);
        blob.map_or_else(|| Watch::new("", BlobRole::Layer), |blob| Watch::new(&blob.media_type, blob.role))
    }

    /// Makes what was written so far survive a power loss.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::DiskFull`].
    pub fn checkpoint(&self) -> Result<(), ArchiveError> {
        self.shared.checkpoint()
    }

    /// Adds what the lock holds itself, writes headers, and lets the bundle appear at its path, unsigned.
    ///
    /// # Errors
    /// [`ArchiveError::Incomplete`] where blobs are missing; [`ArchiveError::TypeMismatch`] where a document says otherwise what a
    /// blob is; [`ArchiveError::Io`].
    pub fn finish(self) -> Result<PathBuf, ArchiveError> {
        let missing = self.missing();
        let patches = self.missing_patches();
        if let Some(first) = missing.first().map(|blob| &blob.digest).or(patches.first()) {
            return Err(ArchiveError::Incomplete { count: missing.len() + patches.len(), first: first.clone() });
        }
        self.write_generated()?;
        self.shared.judge_documents()?;
        self.shared.write_frame()?;
        self.shared.checkpoint()?;
        self.shared.publish()
    }

    fn write_generated(&self) -> Result<(), ArchiveError> {
        for blob in &self.shared.lock.blobs {
            let BlobSource::Generated { base64 } = &blob.source else { continue };
            let mut slot = self.slot(&blob.digest)?;
            slot.write(&artifact::content_of(base64).unwrap_or_default())?;
            slot.finish()?;
        }
        Ok(())
    }
}

impl Shared {
    fn put(&self, bytes: &[u8], position: u64) -> Result<(), ArchiveError> {
        self.file.write_all_at(bytes, position).map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> ArchiveError {
        let path = self.partial.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let needed = self.file.metadata().map_or(0, |metadata| metadata.len());
                ArchiveError::DiskFull { path, needed, source }
            }
            _ => ArchiveError::Io { action: "write", path, source },
        }
    }

    fn checkpoint(&self) -> Result<(), ArchiveError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.commit(&self.file).map_err(|source| self.write_error(source))
    }

    fn keep(&self, digest: &Digest, size: u64) -> Result<(), ArchiveError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.add(digest.clone(), size) < SYNC_EVERY {
            return Ok(());
        }
        progress.commit(&self.file).map_err(|source| self.write_error(source))
    }

    /// What a site would refuse is not built.
    fn judge_documents(&self) -> Result<(), ArchiveError> {
        let file = self.file.try_clone().during("open", &self.partial)?;
        let medium = Medium::join([(file, self.partial.clone())])?;
        Types::of(&medium, &self.manifest, self.header_size).check_documents()
    }

    /// Everything that is neither blob nor zero.
    fn write_frame(&self) -> Result<(), ArchiveError> {
        for slot in self.slots.values() {
            self.put(&slot.head(), self.header_size + slot.start)?;
        }
        let parts = HeaderParts {
            index: &self.index,
            metadata: &MetadataFiles::new(),
            manifest: &self.manifest_bytes,
            revocations: self.revocations.as_deref(),
            publisher_keys: self.lock.publisher_keys,
            vendor_room: self.vendor_room,
        };
        self.put(&parts.to_bytes()?, 0)
    }

    fn publish(&self) -> Result<PathBuf, ArchiveError> {
        self.file.sync_all().during("sync", &self.partial)?;
        // What an interrupted signing has left belongs to the bundle that is replaced now.
        sign::forget_interrupted(&self.path)?;
        fs::rename(&self.partial, &self.path).during("rename to", &self.path)?;
        sync_folder_of(&self.path)?;
        let progress = Progress::path_of(&self.partial);
        fs::remove_file(&progress).during("remove", &progress)?;
        Ok(self.path.clone())
    }
}

/// What a build that was cut off has to have been building, to be taken up again: a list may move every blob.
fn what_is_built(manifest: &[u8], revocations: Option<&[u8]>) -> Digest {
    Digest::sha256(&[manifest, revocations.unwrap_or_default()].concat())
}

/// The place of one blob. Hashes as it writes; forgets all when it is dropped unfinished.
#[derive(Debug)]
pub struct SlotWriter {
    shared: Arc<Shared>,
    start: u64,
    size: u64,
    digest: Digest,
    hasher: Hasher,
    watch: Watch,
    written: u64,
}

impl SlotWriter {
    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that it takes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Begins again, as after a transfer that broke off and cannot be continued.
    pub fn restart(&mut self) {
        self.written = 0;
        self.hasher = Hasher::new(self.digest.algorithm());
        self.watch.restart();
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`ArchiveError::WrongSize`] where that is more than the lock says; [`ArchiveError::DiskFull`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let written = self.written + bytes.len() as u64;
        if written > self.size {
            return Err(self.wrong_size(written));
        }
        self.hasher.update(bytes);
        self.watch.push(bytes);
        self.shared.put(bytes, self.start + self.written)?;
        self.written = written;
        Ok(())
    }

    /// Checks size and digest, and counts the blob as there.
    ///
    /// # Errors
    /// [`ArchiveError::WrongSize`], [`ArchiveError::WrongDigest`]: the blob stays missing.
    pub fn finish(self) -> Result<(), ArchiveError> {
        if self.written != self.size {
            return Err(self.wrong_size(self.written));
        }
        let actual = self.hasher.finish();
        if actual != self.digest {
            return Err(ArchiveError::WrongDigest { expected: self.digest, actual });
        }
        // What a site would refuse is not built.
        if let Err(mismatch) = self.watch.finish() {
            return Err(ArchiveError::TypeMismatch { digest: self.digest, mismatch });
        }
        self.shared.keep(&self.digest, self.size)
    }

    fn wrong_size(&self, actual: u64) -> ArchiveError {
        ArchiveError::WrongSize { name: self.digest.to_string(), actual, expected: self.size }
    }
}

fn open_locked(partial: &Path) -> Result<Flock, ArchiveError> {
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = Flock(options.open(partial).during("create", partial)?);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ArchiveError::Busy { path: partial.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(source).during("lock", partial),
        }
        // Between opening and locking, another process may have finished: then this is its bundle, under its final name.
        if is_still(partial, &file).during("look at", partial)? {
            return Ok(file);
        }
    }
}

fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes all the room at once, so that a full disk is known before hours of fetching.
fn reserve(file: &File, partial: &Path, total: u64) -> Result<(), ArchiveError> {
    match take_room(file, total) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(total).during("resize", partial),
        Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
            let source = io::Error::from(rustix::io::Errno::NOSPC);
            discard_if_new(partial);
            Err(ArchiveError::DiskFull { path: partial.to_owned(), needed: total, source })
        }
        Err(error) => Err(io::Error::from(error)).during("reserve room for", partial),
    }
}

fn take_room(file: &File, total: u64) -> rustix::io::Result<()> {
    // Asked for more than there is, some filesystems take all there is before they say no.
    let status = rustix::fs::fstatvfs(file)?;
    let taken = rustix::fs::fstat(file)?.st_blocks.unsigned_abs().saturating_mul(512);
    if total.saturating_sub(taken) > status.f_bfree.saturating_mul(status.f_frsize) {
        return Err(rustix::io::Errno::NOSPC);
    }
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, total)
}

/// A bundle that did not fit from the start leaves nothing behind; one that was begun is kept for when there is room.
fn discard_if_new(partial: &Path) {
    let progress = Progress::path_of(partial);
    if Progress::is_empty(&progress) {
        for path in [partial, &progress] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an unfinished bundle stays behind");
            }
        }
    }
}

pub(crate) fn sync_folder_of(path: &Path) -> Result<(), ArchiveError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).during("sync", folder)
}

/// Names of blobs that are in the file, for those who count.
impl Writer {
    /// The digests of the blobs that are there.
    pub fn present(&self) -> BTreeSet<Digest> {
        self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).all()
    }
}
