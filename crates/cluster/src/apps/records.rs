//! Where the station keeps the revisions of an app: `clusters/<cluster>/revisions/<app>.json`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sealock_node::Locked;
use sealock_trust::durable;

use super::AppError;
use super::revision::{Revision, Revisions, State};

/// A file of revisions at most.
const MAX_FILE: u64 = 32 << 20;

/// The revisions of one app, for whoever changes it: nobody else can meanwhile.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    known: Revisions,
    _lock: Locked,
}

impl Records {
    /// Those of `app`, below `folder`, the folder of its cluster at the station.
    ///
    /// # Errors
    /// Somebody else changes the app; the file cannot be read.
    pub fn open(folder: &Path, cluster: &str, app: &str) -> Result<Self, AppError> {
        let folder = folder.join("revisions");
        make(&folder)?;
        let lock = lock(&folder.join(format!("{app}.lock")), app)?;
        let path = file(&folder, app);
        let known = read_file(&path)?.unwrap_or_else(|| Revisions::none(app, cluster));
        Ok(Self { path, known, _lock: lock })
    }

    /// What is known.
    pub fn known(&self) -> &Revisions {
        &self.known
    }

    /// What is known of the other apps of the cluster.
    pub(super) fn others(&self) -> Result<Vec<Revisions>, AppError> {
        read_others(self.path.parent().unwrap_or(&self.path), &self.known.app)
    }

    /// Writes down that `revision` is begun, under a number of its own.
    pub(super) fn begin(&mut self, mut revision: Revision) -> Result<(), AppError> {
        revision.number = self.known.newest().map_or(0, |newest| newest.number) + 1;
        self.known.revisions.push(revision);
        self.known.forget_oldest();
        self.save()
    }

    /// Changes what is written of the newest one.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Revision)) -> Result<(), AppError> {
        self.known.revisions.last_mut().map(change);
        self.save()
    }

    /// Writes down how the newest one ended, and hands `outcome` on.
    pub(super) fn end<T>(&mut self, outcome: Result<T, AppError>) -> Result<T, AppError> {
        let state = if outcome.is_ok() { State::Ready } else { State::Failed };
        let written = self.change(|revision| revision.state = state);
        let outcome = outcome?;
        written.map(|()| outcome)
    }

    /// Forgets all of it: the app is gone.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(self) -> Result<(), AppError> {
        let removed = fs::remove_file(&self.path).and_then(|()| durable::sync_parent(&self.path));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }

    fn save(&self) -> Result<(), AppError> {
        let bytes = self.known.to_json().map_err(|error| failed("write", &self.path)(io::Error::other(error)))?;
        durable::replace(&self.path, &bytes).map_err(failed("write", &self.path))
    }
}

/// The revisions of `app`, as far as any are known; for whoever only looks.
///
/// # Errors
/// The file cannot be read.
pub fn read(folder: &Path, app: &str) -> Result<Option<Revisions>, AppError> {
    read_file(&file(&folder.join("revisions"), app))
}

/// The revisions of the other apps of a cluster.
///
/// # Errors
/// A file cannot be read.
pub fn others(folder: &Path, app: &str) -> Result<Vec<Revisions>, AppError> {
    read_others(&folder.join("revisions"), app)
}

fn read_others(folder: &Path, app: &str) -> Result<Vec<Revisions>, AppError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") && !is_hidden(&path) {
            found.extend(read_file(&path)?.filter(|known| known.app != app));
        }
    }
    Ok(found)
}

/// A file in the making.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn file(folder: &Path, app: &str) -> PathBuf {
    folder.join(format!("{app}.json"))
}

fn read_file(path: &Path) -> Result<Option<Revisions>, AppError> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(failed("read", path))?.len(),
    };
    if length > MAX_FILE {
        return Err(failed("read", path)(io::Error::other("it is too large for revisions of an app")));
    }
    let bytes = fs::read(path).map_err(failed("read", path))?;
    let read = Revisions::from_json(&bytes);
    read.map(Some).map_err(|source| AppError::Revisions { path: path.to_owned(), source })
}

/// For its owner only: it tells what a site runs.
fn make(folder: &Path) -> Result<(), AppError> {
    fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed("change", folder))
}

fn lock(path: &Path, app: &str) -> Result<Locked, AppError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.map_err(failed("open", path))?;
    Locked::take(file).map_err(failed("lock", path))?.ok_or_else(|| AppError::Busy { app: app.into() })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AppError {
    let path = path.to_owned();
    move |source| AppError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::super::revision::tests::revision;
    use super::*;

    #[test]
    fn each_change_is_on_disk_and_nobody_else_changes_it_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "demo").unwrap(), None);
        let mut records = Records::open(folder.path(), "plant-7", "demo").unwrap();
        let busy = Records::open(folder.path(), "plant-7", "demo").unwrap_err();
        assert!(matches!(busy, AppError::Busy { .. }), "{busy}");
        records.begin(revision(0, State::Begun)).unwrap();
        let states = || {
            let known = read(folder.path(), "demo").unwrap().unwrap();
            known.revisions.iter().map(|one| (one.number, one.state)).collect::<Vec<_>>()
        };
        assert_eq!(states(), [(1, State::Begun)]);
        records.end(Err::<(), _>(AppError::Busy { app: "x".into() })).unwrap_err();
        assert_eq!(states(), [(1, State::Failed)]);
        records.begin(revision(0, State::Begun)).unwrap();
        records.end(Ok(())).unwrap();
        assert_eq!(states(), [(1, State::Failed), (2, State::Ready)]);
        records.forget().unwrap();
        assert_eq!(read(folder.path(), "demo").unwrap(), None);
    }
}
