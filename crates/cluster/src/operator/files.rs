//! Files of a cluster at the station: replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::OperatorError;

/// Replaces the file `path`, durably.
pub(super) fn save(path: &Path, content: &[u8]) -> Result<(), OperatorError> {
    save_as(path, content, 0o644)
}

/// As [`save`], readable by its owner only from its first byte on.
pub(super) fn save_private(path: &Path, content: &[u8]) -> Result<(), OperatorError> {
    save_as(path, content, 0o600)
}

fn save_as(path: &Path, content: &[u8], mode: u32) -> Result<(), OperatorError> {
    let failed = |source| OperatorError::Io { action: "write", path: path.into(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    // Made with mode 0600.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(content).map_err(failed)?;
    new.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The content of `path`, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, OperatorError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OperatorError::Io { action: "read", path: path.into(), source }),
    }
}

/// Removes `path`, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), OperatorError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|source| OperatorError::Io { action: "remove", path: path.into(), source }),
    }
}

/// Keeps the file `path` under another name, so that nothing finds it where it was.
pub(super) fn set_aside(path: &Path) -> Result<(), OperatorError> {
    fs::rename(path, path.with_extension("superseded")).map_err(|source| OperatorError::Io {
        action: "rename",
        path: path.into(),
        source,
    })
}

/// The `.json` files in `folder`, if it is there, newest first.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, OperatorError> {
    let failed = |source| OperatorError::Io { action: "read", path: folder.into(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.path().extension().is_some_and(|end| end == "json") {
            let changed = entry.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
            found.push((changed, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}
