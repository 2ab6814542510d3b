//! Puts the settings of a backup where they belong: they may be on another filesystem, and some may be there already.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::owners::give;
use crate::backup::BackupError;
use crate::backup::disk::{look, sync};

/// What is put behind the name of a file where another one stands in its place.
const BESIDE: &str = "restored";

/// Puts each file of settings where none stands; beside it, where another one does.
pub(super) fn put(from: &Path, to: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut beside = Vec::new();
    let Some(found) = look(from)? else { return Ok(beside) };
    if look(to)?.is_none() {
        make(to)?;
        give(to, (found.uid(), found.gid()), found.mode() & 0o777)?;
    }
    let mut entries: Vec<_> = fs::read_dir(from)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
        .map_err(BackupError::io("read", from))?;
    entries.sort();
    for name in entries {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            beside.extend(put(&from, &to)?);
            continue;
        }
        let place = free_place(&from, &to)?;
        if look(&place)?.is_none() {
            copy(&from, &place)?;
        }
        if place != to {
            beside.push(place);
        }
    }
    Ok(beside)
}

/// Where the file is to stand: `to`, or the first name beside it under which there is no other one.
fn free_place(from: &Path, to: &Path) -> Result<PathBuf, BackupError> {
    let mut place = to.to_owned();
    for number in 1_u32.. {
        if look(&place)?.is_none() || is_same(from, &place)? {
            break;
        }
        place = to.to_owned();
        place.as_mut_os_string().push(if number == 1 { format!(".{BESIDE}") } else { format!(".{BESIDE}-{number}") });
    }
    Ok(place)
}

fn is_same(one: &Path, other: &Path) -> Result<bool, BackupError> {
    let read = |path: &Path| fs::read(path).map_err(BackupError::io("read", path));
    Ok(read(one)? == read(other)?)
}

/// A copy, as the two may be on different filesystems; whole or not there.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let folder = to.parent().unwrap_or(to);
    let made = tempfile::Builder::new().prefix(".restored-").suffix(".new").tempfile_in(folder);
    let made = made.map_err(BackupError::io("make a file in", folder))?;
    let found = fs::symlink_metadata(from).map_err(BackupError::io("look at", from))?;
    fs::copy(from, made.path()).map_err(BackupError::io("write", to))?;
    give(made.path(), (found.uid(), found.gid()), found.mode() & 0o777)?;
    made.persist_noclobber(to).map_err(|error| BackupError::io("write", to)(error.error))?;
    sync(folder)
}

/// Makes a folder and what is missing above it, durably.
pub(super) fn make(folder: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(BackupError::io("make", folder))?;
    folder.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()).try_for_each(sync)
}
