//! Migration: what bundles lend becomes files of the store, blob by blob, while everybody goes on reading.
//!
//! | step | on disk when it is done |
//! |---|---|
//! | 1 | `lent/partial/<hex>`: room reserved, copied (or shared, where the filesystem can) and hashed, durable |
//! | 2 | a rename into `blobs/` that replaces nothing: **from here on the blob is a file**, and no more read from the bundle |
//! | 3 | once everything that a bundle lends is a file: `fsync` of the folders of `blobs/`, and the bundle is removed |
//!
//! Cut off anywhere, each blob is lent or a file, and the next run goes on. Steps 1 and 2 need no lock but the one among
//! migrations, as pushing needs none: blobs of one name are equal. Step 3, and to take out what has rotted, wait for the store's.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use jiff::Timestamp;
use rustix::fs::{FsWord, copy_file_range, fstatfs};
use rustix::io::Errno;
use sealock_trust::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::blob::{Place, open_file, size_of_file};
use crate::durable::{ensure_folder, remove_folder_if_there, remove_if_there, set_mode};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::gc::{Amount, Guard};
use crate::lock::Flock;
use crate::pushed::put;
use crate::scrub::{Hashed, Rotten, take_out};
use crate::staging::reserve;
use crate::store::Store;

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// The filesystems that let two files share their blocks, by the numbers that statfs(2) gives: btrfs, XFS and bcachefs.
const SHARING: [FsWord; 3] = [0x9123_683e, 0x5846_5342, 0xca45_1a4e];

/// One pass over what bundles lend.
pub struct Migration<'a> {
    /// The store.
    pub store: &'a Store,
    /// Of a server: nobody is promised a blob while one that has rotted is taken out.
    pub guard: Option<&'a Guard>,
    /// The time.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// What stays free on the disk, in bytes: a bundle goes only after all of it was copied.
    pub headroom: u64,
    /// Hears how many bytes were copied just now: waits until more may be copied, and says whether to go on.
    pub pace: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl std::fmt::Debug for Migration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migration")
            .field("store", &self.store)
            .field("headroom", &self.headroom)
            .finish_non_exhaustive()
    }
}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// What are files now.
    pub moved: Amount,
    /// Bundles that lent nothing any more, and are gone.
    pub bundles: u64,
    /// What had rotted in its bundle.
    pub rotten: Vec<Rotten>,
    /// What is still lent.
    pub left: Amount,
    /// Whether the disk has no room for what is left.
    pub no_room: bool,
}

/// What became of one blob.
enum Step {
    Moved,
    /// It is lent no more: somebody was faster, or nobody needs it.
    Gone,
    Rotten(String),
    NoRoom,
    Stopped,
}

impl Migration<'_> {
    /// Makes files of what is lent, and removes each bundle of which nothing is left. What has rotted is taken out, as a scrub
    /// does, and the rest goes on.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where somebody else migrates; [`StoreError::Io`].
    pub fn run(self) -> Result<Migrated, StoreError> {
        let store = self.store;
        match self.pass() {
            // There is not even room to begin.
            Err(StoreError::DiskFull { .. }) => {
                Ok(Migrated { left: store.lent()?.blobs, no_room: true, ..Migrated::default() })
            }
            result => result,
        }
    }

    fn pass(mut self) -> Result<Migrated, StoreError> {
        let layout = &self.store.layout;
        let mut migrated = Migrated::default();
        if self.store.lenders.known(layout)?.bundles.is_empty() {
            return Ok(migrated);
        }
        let _alone = Flock::take(&layout.migration_lock(), &layout.lent())?;
        // What was being copied when a process ended.
        remove_folder_if_there(&layout.migrating())?;
        ensure_folder(&layout.migrating(), 0o700)?;
        let mut waiting = self.waiting()?.into_iter();
        for (digest, place) in waiting.by_ref() {
            match self.one(&digest, &place)? {
                Step::Moved => migrated.moved.add(place.size),
                Step::Gone => {}
                Step::Rotten(problem) => {
                    let at = (self.clock)();
                    match take_out(self.store, (self.guard, at), (digest, problem), self.pace)? {
                        Some(rotten) => migrated.rotten.push(rotten),
                        // It is whole at a second look, and another pass may have more luck.
                        None => migrated.left.add(place.size),
                    }
                }
                ended @ (Step::NoRoom | Step::Stopped) => {
                    migrated.no_room = matches!(ended, Step::NoRoom);
                    migrated.left.add(place.size);
                    break;
                }
            }
        }
        waiting.for_each(|(_, place)| migrated.left.add(place.size));
        remove_folder_if_there(&layout.migrating())?;
        migrated.bundles = match self.store.lock() {
            // An import, or a collection, is at work: the next pass removes them.
            Err(StoreError::Locked { .. }) => 0,
            lock => lock?.settle_lenders()?,
        };
        Ok(migrated)
    }

    /// What is lent and no file, each bundle from its beginning to its end.
    fn waiting(&self) -> Result<Vec<(Digest, Place)>, StoreError> {
        let layout = &self.store.layout;
        let known = self.store.lenders.known(layout)?;
        let (mut seen, mut waiting) = (HashSet::new(), Vec::new());
        for bundle in &known.bundles {
            let mut parts: Vec<_> = bundle.parts().collect();
            parts.sort_by_key(|(_, part)| part.start);
            for (digest, part) in parts {
                if size_of_file(&layout.blob(digest))?.is_some() || !seen.insert(digest.clone()) {
                    continue;
                }
                let (path, lender) = (layout.lender(&bundle.manifest), Some(bundle.manifest.clone()));
                waiting.push((digest.clone(), Place { path, start: part.start, size: part.size, lender }));
            }
        }
        Ok(waiting)
    }

    fn one(&mut self, digest: &Digest, place: &Place) -> Result<Step, StoreError> {
        if self.store.free_bytes()? < place.size.saturating_add(self.headroom) {
            return Ok(Step::NoRoom);
        }
        let Some((source, _)) = open_file(&place.path)? else { return Ok(Step::Gone) };
        let path = self.store.layout.migrating().join(digest.hex());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o444);
        let file = failpoint::hit("create blob").and_then(|()| options.open(&path)).during("create", &path)?;
        let copied = self.copy((&source, place), &file, digest).and_then(|hashed| match hashed {
            Hashed::Whole => {
                set_mode(&path, 0o444).during("set the mode of", &path)?;
                failpoint::hit("sync blob").and_then(|()| file.sync_all()).during("sync", &path)?;
                self.put(digest, &path, place.size)
            }
            Hashed::Rotten(problem) => Ok(Step::Rotten(problem)),
            Hashed::Gone => Ok(Step::Gone),
            Hashed::Stopped => Ok(Step::Stopped),
        });
        match copied {
            Ok(Step::Moved) => Ok(Step::Moved),
            other => {
                remove_if_there(&path)?;
                match other {
                    Err(StoreError::DiskFull { .. }) => Ok(Step::NoRoom),
                    other => other,
                }
            }
        }
    }

    /// Makes it a file of the store, unless it is lent no more: what the collector took away does not come back.
    fn put(&self, digest: &Digest, path: &std::path::Path, size: u64) -> Result<Step, StoreError> {
        let layout = &self.store.layout;
        let act = || match self.store.lenders.place(layout, digest)? {
            Some(_) => put(path, &layout.blob(digest), size).map(|()| Step::Moved),
            None => Ok(Step::Gone),
        };
        self.guard.map_or_else(act, |guard| guard.alone(digest, act))
    }

    /// Copies the blob at `place` of `source` into `file`, and hashes what is there then.
    fn copy(&mut self, (source, place): (&File, &Place), file: &File, digest: &Digest) -> Result<Hashed, StoreError> {
        failpoint::hit("reserve").and_then(|()| reserve(file, place.size)).during("reserve room for", &place.path)?;
        let is_shared = share(source, place, file).during("copy from", &place.path)?;
        let (mut hasher, mut buffer, mut done) = (Hasher::new(digest.algorithm()), vec![0; CHUNK], 0);
        while done < place.size {
            let length = usize::try_from(place.size - done).unwrap_or(CHUNK).min(CHUNK);
            let piece = &mut buffer[..length];
            let (from, at) = if is_shared { (file, done) } else { (source, place.start + done) };
            if let Err(error) = failpoint::hit("read blob").and_then(|()| from.read_exact_at(piece, at)) {
                return Ok(Hashed::Rotten(format!("it cannot be read: {error}")));
            }
            hasher.update(piece);
            if !is_shared {
                let write = failpoint::hit("write blob").and_then(|()| file.write_all_at(piece, done));
                write.during("write", &self.store.layout.blob(digest))?;
            }
            done += length as u64;
            if (self.pace)(length as u64).is_break() {
                return Ok(Hashed::Stopped);
            }
        }
        let actual = hasher.finish();
        Ok(if actual == *digest { Hashed::Whole } else { Hashed::Rotten(format!("its content is {actual}")) })
    }
}

/// Lets `file` share the blocks of the blob, where the filesystem can: copy_file_range(2) clones the range there, and copies the
/// block that it ends in. Nothing where it cannot: there a copy in the kernel would only be read once more.
fn share(source: &File, place: &Place, file: &File) -> io::Result<bool> {
    if !SHARING.contains(&fstatfs(file)?.f_type) {
        return Ok(false);
    }
    let (mut from, mut to) = (place.start, 0);
    while to < place.size {
        let left = usize::try_from(place.size - to).unwrap_or(CHUNK);
        match copy_file_range(source, Some(&mut from), file, Some(&mut to), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
