//! Puts a whole file among the blobs: durable, in one step, and never over another one that is sound.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sealock_trust::Digest;

use crate::blob::{open_file, size_of_file};
use crate::durable::{ensure_folder, remove_folder_if_there, rename, set_mode, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::gc::Guard;
use crate::gc::protocol::Tick;
use crate::store::Store;

/// What becomes of a blob of the same name and size that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays: it is as good as the one that comes.
    Stays,
    /// It was read, and is not what its name says.
    IsRotten,
}

/// Makes `file`, which stands at `path` and has the digest `digest`, the blob of that name, and promises it from `now` on.
///
/// The stripe is held while it is put there, so that nobody takes it away at that moment.
pub(crate) fn place(
    store: &Store,
    guard: &Guard,
    (file, path): (&File, &Path),
    (digest, size): (&Digest, u64),
    (existing, now): (Existing, Tick),
) -> Result<(), StoreError> {
    let target = store.blob_path(digest);
    let put = || match existing {
        Existing::Stays => put(path, &target, size).map(Some),
        Existing::IsRotten => rename(path, &target).map(Some),
    };
    set_mode(path, 0o444).during("set the mode of", path)?;
    // What was reserved beyond its end is given back.
    let synced = failpoint::hit("sync upload").and_then(|()| file.set_len(size)).and_then(|()| file.sync_all());
    let placed = synced.during("sync", path).and_then(|()| guard.promise_found(digest, now, put));
    if let Err(error) = placed {
        // So that its upload can go on.
        let _ = set_mode(path, 0o600);
        return Err(error);
    }
    sync_folder(target.parent().unwrap_or(store.path()))
}

/// Makes `bytes` the blob `digest`, by way of the folder `folder`, which is there for nothing else, and promises it from `now` on.
pub(crate) fn place_bytes(
    store: &Store,
    guard: &Guard,
    folder: &Path,
    (digest, bytes): (&Digest, &[u8]),
    now: Tick,
) -> Result<(), StoreError> {
    let target = store.blob_path(digest);
    let size = bytes.len() as u64;
    let mut existing = Existing::Stays;
    // A file of its own, though a bundle may lend one: bundles go, and take no notice of what was pushed. It is read, since whoever
    // pushes a manifest again may do so because it has rotted.
    let look = || match size_of_file(&target)? {
        Some(found) if found == size && !holds(&target, bytes)? => {
            tracing::warn!(blob = %target.display(), "a manifest in the store has rotted, and is replaced");
            existing = Existing::IsRotten;
            Ok::<_, StoreError>(None)
        }
        found => Ok(found.filter(|found| *found == size)),
    };
    if guard.promise_found(digest, now, look)?.is_some() {
        // Whoever put it there may not have come that far yet.
        return sync_folder(target.parent().unwrap_or(store.path()));
    }
    ensure_folder(folder, 0o700)?;
    let path = folder.join("data");
    let placed =
        write(&path, bytes).and_then(|file| place(store, guard, (&file, &path), (digest, size), (existing, now)));
    let removed = remove_folder_if_there(folder);
    placed.and(removed)
}

/// Whether the file at `path`, which is as long, has these bytes.
fn holds(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    let Some((file, length)) = open_file(path)? else { return Ok(false) };
    let mut found = Vec::with_capacity(bytes.len());
    match file.take(length).read_to_end(&mut found) {
        // A sector that cannot be read any more.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(false),
        read => read.during("read", path).map(|_| found == bytes),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).during("create", path)?;
    failpoint::hit("write manifest").and_then(|()| file.write_all(bytes)).during("write", path)?;
    Ok(file)
}

/// Gives the file at `path`, of `size` bytes, the name `target` of a blob. The one that has it already is as good, unless it is
/// damaged: then this one goes.
pub(crate) fn put(path: &Path, target: &Path, size: u64) -> Result<(), StoreError> {
    let rename_new = || renameat_with(CWD, path, CWD, target, RenameFlags::NOREPLACE);
    match failpoint::hit("place blob").during("rename", path).map(|()| rename_new())? {
        Ok(()) => Ok(()),
        // The one that is there is as good, unless it is damaged.
        Err(rustix::io::Errno::EXIST) if size_of_file(target)? == Some(size) => {
            failpoint::hit("drop double").and_then(|()| fs::remove_file(path)).during("remove", path)
        }
        Err(rustix::io::Errno::EXIST) => {
            tracing::warn!(blob = %target.display(), "a blob in the store is damaged, and replaced: it has another size");
            rename(path, target)
        }
        // A filesystem without RENAME_NOREPLACE: blobs of one name are equal, so that replacing one does no harm.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => rename(path, target),
        result => result.during("rename", path),
    }
}
