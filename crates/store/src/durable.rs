//! The few ways in which this crate changes a disk, each of which is durable when it returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{IoContext, StoreError};
use crate::failpoint;

/// What is left of a file whose writing was cut off ends like this.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Makes `path` a folder with `mode` where it is none yet; its parent must exist.
pub(crate) fn ensure_folder(path: &Path, mode: u32) -> Result<(), StoreError> {
    match failpoint::hit("make folder").and_then(|()| fs::DirBuilder::new().mode(mode).create(path)) {
        Ok(()) => {
            set_mode(path, mode).during("set the mode of", path)?;
            sync_folder(parent_of(path))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            match sync_folder(parent_of(path)) {
                // Where the parent is not ours to read, somebody else has made the folder.
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                // Whoever made it may have ended before this.
                result => result,
            }
        }
        Err(error) => Err(error).during("make the folder", path),
    }
}

/// Puts `bytes` at `path` as a whole: a reader sees the old file or the new one, and after a power loss too.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let temporary = temporary_for(path);
    remove_if_there(&temporary)?;
    write_new(&temporary, bytes, mode)?;
    rename(&temporary, path)?;
    sync_folder(parent_of(path))
}

/// Points the symbolic link at `path` to `target` in one step.
pub(crate) fn replace_link(path: &Path, target: &Path) -> Result<(), StoreError> {
    let temporary = temporary_for(path);
    remove_if_there(&temporary)?;
    failpoint::hit("symlink").and_then(|()| symlink(target, &temporary)).during("make the link", &temporary)?;
    rename(&temporary, path)?;
    sync_folder(parent_of(path))
}

/// Renames within one filesystem. Durable only after [`sync_folder`] of the target's folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    failpoint::hit("rename").and_then(|()| fs::rename(from, to)).during("rename", from)
}

/// Gives the file at `from`, and no link, a second name within one filesystem. Durable only after [`sync_folder`].
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    failpoint::hit("link").and_then(|()| fs::hard_link(from, to)).during("link", from)
}

/// Makes every change to the entries of `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    failpoint::hit("sync folder").and_then(|()| File::open(folder)?.sync_all()).during("sync", folder)
}

/// Removes the file at `path`, if there is one.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match failpoint::hit("remove").and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => Ok(()),
    }
}

/// Removes the folder at `path` with all that is in it, if there is one.
pub(crate) fn remove_folder_if_there(path: &Path) -> Result<(), StoreError> {
    match failpoint::hit("remove folder").and_then(|()| fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => Ok(()),
    }
}

/// The server reads what an importer wrote under another user, whatever that one's umask is.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).during("create", path)?;
    set_mode(path, mode).during("set the mode of", path)?;
    failpoint::hit("write").and_then(|()| file.write_all(bytes)).during("write", path)?;
    failpoint::hit("sync").and_then(|()| file.sync_all()).during("sync", path)
}

fn temporary_for(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    path.with_file_name(name)
}

/// The folder that `path` is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
