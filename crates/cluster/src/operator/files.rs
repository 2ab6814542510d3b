//! Files of a cluster at the station: replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sealock_trust::Digest;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::OperatorError;
use crate::plan::Plan;

/// No certificate and no key is near this long; in bytes.
pub(super) const LARGEST: u64 = 1 << 20;
/// What every file system tells apart.
const TICK: Duration = Duration::from_secs(2);

/// Replaces the file `path`, durably.
pub(super) fn save(path: &Path, content: &[u8]) -> Result<(), OperatorError> {
    save_as(path, content, 0o644)
}

/// As [`save`], for a file that [`list`] is to find before all others of its folder, whatever the clock has been set to since they were written.
pub(super) fn save_newest(path: &Path, content: &[u8]) -> Result<(), OperatorError> {
    save(path, content)?;
    let failed = |source| OperatorError::Io { action: "date", path: path.into(), source };
    let others = dated(path.parent().unwrap_or(Path::new(".")))?.into_iter().filter(|(_, other)| other != path);
    let file = File::options().write(true).open(path).map_err(failed)?;
    let own = file.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    let Some((newest, _)) = others.max().filter(|(newest, _)| *newest >= own) else { return Ok(()) };
    file.set_modified(newest + TICK).and_then(|()| file.sync_all()).map_err(failed)
}

/// As [`save`], readable by its owner only from its first byte on.
pub(super) fn save_private(path: &Path, content: &[u8]) -> Result<(), OperatorError> {
    save_as(path, content, 0o600)
}

/// Replaces several files, durably: none of them before there is room for all. The last one takes its place last.
pub(super) fn save_all(files: &[(PathBuf, Vec<u8>)]) -> Result<(), OperatorError> {
    let mut written = Vec::new();
    for (path, content) in files {
        written.push(write_aside(path, content, 0o644)?);
    }
    files.iter().zip(written).try_for_each(|((path, _), new)| take_place(path, new))
}

fn save_as(path: &Path, content: &[u8], mode: u32) -> Result<(), OperatorError> {
    take_place(path, write_aside(path, content, mode)?)
}

/// The content of what is to be `path`, beside it.
fn write_aside(path: &Path, content: &[u8], mode: u32) -> Result<NamedTempFile, OperatorError> {
    let failed = |source| OperatorError::Io { action: "write", path: path.into(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    // Made with mode 0600.
    let mut new = NamedTempFile::new_in(folder).map_err(failed)?;
    new.write_all(content).map_err(failed)?;
    new.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    Ok(new)
}

fn take_place(path: &Path, new: NamedTempFile) -> Result<(), OperatorError> {
    let failed = |source| OperatorError::Io { action: "write", path: path.into(), source };
    new.persist(path).map_err(|error| failed(error.error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
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

/// The content of `path`, if it is there: refused where it has more than `most` bytes.
pub(super) fn read_at_most(path: &Path, most: u64) -> Result<Option<Vec<u8>>, OperatorError> {
    let failed = |source| OperatorError::Io { action: "read", path: path.into(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > most {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {most} bytes"))));
    }
    Ok(Some(content))
}

/// The digest of a plan, which its file is called by.
pub(super) fn named_by(path: &Path) -> Option<Digest> {
    format!("sha256:{}", path.file_stem()?.to_str()?).parse().ok()
}

/// The plan in the file `path`, if it is there.
pub(super) fn plan_in(path: &Path) -> Result<Option<Plan>, OperatorError> {
    Ok(read(path)?.map(|bytes| Plan::from_json(&bytes)).transpose()?)
}

/// The text of a certificate or a key that the spec names.
pub(super) fn small_text(path: &Path) -> Result<Zeroizing<String>, OperatorError> {
    let failed = |source| OperatorError::Io { action: "read", path: path.into(), source };
    let mut text = Zeroizing::new(String::new());
    File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(failed)?;
    Ok(text)
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
    let mut found = dated(folder)?;
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// The `.json` files in `folder`, if it is there, and when each was written.
fn dated(folder: &Path) -> Result<Vec<(SystemTime, PathBuf)>, OperatorError> {
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
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_last_comes_first_though_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let names =
            || list(folder.path()).unwrap().iter().map(|path| path.file_stem().unwrap().to_owned()).collect::<Vec<_>>();
        save_newest(&path("a.json"), b"{}").unwrap();
        // As it was written while the clock was 25 hours ahead.
        let ahead = SystemTime::now() + Duration::from_secs(25 * 3600);
        File::options().write(true).open(path("a.json")).unwrap().set_modified(ahead).unwrap();
        save_newest(&path("b.json"), b"{}").unwrap();
        save_newest(&path("c.json"), b"{}").unwrap();
        assert_eq!(names(), ["c", "b", "a"]);
        save_newest(&path("a.json"), b"{}").unwrap();
        assert_eq!(names(), ["a", "c", "b"], "what is begun once more is the newest");
    }
}
