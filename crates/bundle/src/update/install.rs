//! One binary takes the place of another.
//!
//! | step | on disk when it is done |
//! |---|---|
//! | 1 | `NAME.new`: written, hashed as it is written, compared, durable, tried out |
//! | 2 | `update` in the operation log |
//! | 3 | `NAME.previous` is the old binary |
//! | 4 | `NAME` is the new one: one rename |
//! | 5 | `updated` in the operation log |
//!
//! `NAME` is whole at every instant. Cut off before 4 it is the old one, and the same call begins again; after 4 it is the new
//! one, and the same call only adds what is missing in the log.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_store::operations::Operation;
use sealock_store::{Store, StoreLock, failpoint};
use sealock_trust::{Digest, Hasher};

use super::{Present, UpdateError};
use crate::binary::{Build, Description, MAX_BYTES};

/// What stands behind the name of the binary that was replaced.
pub const PREVIOUS: &str = ".previous";
/// What stands behind the name of the one that is being written.
const NEW: &str = ".new";
/// What stands behind the name of a second name for the old one, until that takes the place of [`PREVIOUS`].
const OLD: &str = ".old";

/// What an update came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What was there before.
    pub before: Description,
    /// What is there now.
    pub now: Description,
    /// Its digest.
    pub digest: Digest,
    /// Whether anything was changed.
    pub changed: bool,
}

/// A binary that is to be installed.
pub(super) struct Source<'a> {
    pub(super) content: Box<dyn Read>,
    pub(super) digest: &'a Digest,
    pub(super) description: &'a Description,
}

pub(super) fn run(
    (lock, at): (&StoreLock, Timestamp),
    source: Source<'_>,
    path: &Path,
    try_out: &mut dyn FnMut(&Path) -> Result<(), String>,
) -> Result<Installed, UpdateError> {
    let before = Present::at(path)?;
    let (now, digest) = (source.description.clone(), source.digest.clone());
    let done =
        |changed| Installed { before: before.description.clone(), now: now.clone(), digest: digest.clone(), changed };
    if before.digest == digest {
        settle((lock, at), path, &digest)?;
        return Ok(done(false));
    }
    let new = beside(path, NEW);
    let written = write(source, &new).and_then(|()| try_out(&new).map_err(|said| UpdateError::DoesNotWork { said }));
    if let Err(error) = written {
        if let Err(error) = remove_if_there(&new) {
            tracing::warn!(%error, "what was written of a binary stays behind");
        }
        return Err(error);
    }
    let announced = Operation::Update {
        path: path.display().to_string(),
        version: now.version.to_string(),
        digest: digest.clone(),
        previous_binary: before.digest.clone(),
    };
    lock.log(at, announced)?;
    keep_old(path)?;
    step("rename", "rename", &new, || fs::rename(&new, path))?;
    sync_folder(path)?;
    settle((lock, at), path, &digest)?;
    Ok(done(true))
}

/// The digest of the binary that the last update of `path` has replaced.
pub(super) fn replaced_last(store: &Store, path: &Path) -> Result<Option<Digest>, UpdateError> {
    let path = path.display().to_string();
    let records = store.operations()?;
    Ok(records.into_iter().rev().find_map(|record| match record.operation {
        Operation::Update { path: updated, previous_binary, .. } if updated == path => Some(previous_binary),
        _ => None,
    }))
}

/// The name of `path` with `ending` behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Adds the outcome of the last announcement, where it lacks one.
fn settle((lock, at): (&StoreLock, Timestamp), path: &Path, digest: &Digest) -> Result<(), UpdateError> {
    let name = path.display().to_string();
    let about = |operation: &Operation| match operation {
        Operation::Update { path, digest, .. } if *path == name => Some((true, digest.clone())),
        Operation::Updated { path, digest } if *path == name => Some((false, digest.clone())),
        _ => None,
    };
    let records = lock.store().operations()?;
    let last = records.iter().rev().find_map(|record| about(&record.operation));
    if last == Some((true, digest.clone())) {
        lock.log(at, Operation::Updated { path: name, digest: digest.clone() })?;
    }
    Ok(())
}

/// Copies, and finds out whether it is what was promised.
fn write(source: Source<'_>, new: &Path) -> Result<(), UpdateError> {
    remove_if_there(new)?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o755);
    let mut file = step("create", "create", new, || options.open(new))?;
    let mut hasher = Hasher::new(source.digest.algorithm());
    let mut bytes = Vec::new();
    let mut reader = source.content.take(MAX_BYTES);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| UpdateError::io("read what goes to", new, error))?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        bytes.extend_from_slice(piece);
        step("write", "write", new, || file.write_all(piece))?;
    }
    if hasher.finish() != *source.digest {
        return Err(UpdateError::Blob { digest: source.digest.clone() });
    }
    check_declared(&bytes, source.description)?;
    // Whatever the umask is.
    step("set the mode of", "mode", new, || file.set_permissions(Permissions::from_mode(0o755)))?;
    step("sync", "sync", new, || file.sync_all())
}

/// The file itself has the last word on what it is.
fn check_declared(bytes: &[u8], declared: &Description) -> Result<(), UpdateError> {
    let build = |build: Build| if build == Build::Inside { "inside" } else { "outside" };
    let words = |one: &Description| format!("{} {} for {}-{}", one.version, build(one.build), one.os, one.architecture);
    let found = Description::of(bytes);
    match found {
        Ok(found) if found == *declared => Ok(()),
        Ok(found) => Err(UpdateError::Declared { declared: words(declared), found: words(&found) }),
        Err(error) => Err(UpdateError::Declared { declared: words(declared), found: error.to_string() }),
    }
}

/// Gives the old binary its second name; the first one stays.
fn keep_old(path: &Path) -> Result<(), UpdateError> {
    let (old, previous) = (beside(path, OLD), beside(path, PREVIOUS));
    remove_if_there(&old)?;
    let linked = failpoint::hit("link").and_then(|()| fs::hard_link(path, &old));
    match linked {
        Ok(()) => {}
        // Not every filesystem has hard links.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            step("copy", "copy", path, || fs::copy(path, &old).and_then(|_| File::open(&old)?.sync_all()))?;
        }
        Err(error) => return Err(UpdateError::io("link", path, error)),
    }
    step("rename", "rename", &old, || fs::rename(&old, &previous))?;
    // Two names of one file, as an update that was cut off leaves them: then a rename does nothing (rename(2)).
    remove_if_there(&old)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> Result<(), UpdateError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    step("sync", "sync folder", folder, || File::open(folder)?.sync_all())
}

fn remove_if_there(path: &Path) -> Result<(), UpdateError> {
    match failpoint::hit("remove").and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(UpdateError::io("remove", path, error)),
        _ => Ok(()),
    }
}

fn step<T>(
    action: &'static str,
    point: &'static str,
    path: &Path,
    mut act: impl FnMut() -> io::Result<T>,
) -> Result<T, UpdateError> {
    failpoint::hit(point).and_then(|()| act()).map_err(|source| UpdateError::io(action, path, source))
}
