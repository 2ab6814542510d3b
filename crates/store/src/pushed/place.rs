//! Puts a whole file among the blobs: durable, in one step, and never over another one that is sound.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sealock_trust::Digest;

use crate::blob::size_of_file;
use crate::durable::{ensure_folder, remove_folder_if_there, rename, set_mode, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::gc::Guard;
use crate::gc::protocol::Tick;
use crate::store::Store;

/// Makes `file`, which stands at `path` and has the digest `digest`, the blob of that name, and promises it from `now` on.
///
/// The stripe is held while it is put there, so that nobody takes it away at that moment.
pub(crate) fn place(
    store: &Store,
    guard: &Guard,
    (file, path): (&File, &Path),
    (digest, size): (&Digest, u64),
    now: Tick,
) -> Result<(), StoreError> {
    set_mode(path, 0o444).during("set the mode of", path)?;
    // What was reserved beyond its end is given back.
    failpoint::hit("sync upload")
        .and_then(|()| file.set_len(size))
        .and_then(|()| file.sync_all())
        .during("sync", path)?;
    let target = store.blob_path(digest);
    if let Err(error) = guard.promise_found(digest, now, || put(path, &target, size).map(Some)) {
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
    // A file of its own, though a bundle may lend one: bundles go, and take no notice of what was pushed.
    let look = || Ok::<_, StoreError>(size_of_file(&target)?.filter(|found| *found == size));
    if guard.promise_found(digest, now, look)?.is_some() {
        // Whoever put it there may not have come that far yet.
        return sync_folder(target.parent().unwrap_or(store.path()));
    }
    ensure_folder(folder, 0o700)?;
    let path = folder.join("data");
    let placed = write(&path, bytes).and_then(|file| place(store, guard, (&file, &path), (digest, size), now));
    let removed = remove_folder_if_there(folder);
    placed.and(removed)
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
