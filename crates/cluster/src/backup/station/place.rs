//! Lays a backup of a station out on a machine that is none yet.
//!
//! All of it is laid into one folder first, and judged there; then its parts are moved into place, `trust` last: until then the machine is
//! no station. Cut off anywhere, the same call goes on.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use sealock_trust::TrustDirectory;

use super::file::StationBackup;
use super::names::{PARTS, SETTINGS, STATE};
use super::owners::Owners;
use super::unpack::{Entry, Kind, Owner};
use crate::backup::unpack::alone_in;
use crate::backup::{BackupError, Identities};

/// How the name begins of the folder that a backup is laid into.
const PREFIX: &str = "restoring-";
/// What is put behind the name of a file of settings where another one stands in its place.
const BESIDE: &str = "restored";

/// Where the files of the station are to stand.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The state folder.
    pub state: &'a Path,
    /// The folder of settings.
    pub settings: &'a Path,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Settings that stand beside others, which were there already and differ.
    pub beside: Vec<PathBuf>,
}

/// Makes of this machine the station that `backup` was taken from. Its trust state counts as an older copy from then on: imports are frozen until
/// two people of the site settle it.
///
/// # Errors
/// There is a station already; the backup does not open, or is not what its site has signed. Then nothing is in place.
pub fn restore(backup: &StationBackup, identities: &Identities, places: &Places<'_>) -> Result<Restored, BackupError> {
    if look(places.state)?.is_none() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(places.state)
            .map_err(BackupError::io("make", places.state))?;
    }
    let _alone = alone_in(places.state)?;
    let laid = places.state.join(format!("{PREFIX}{}", backup.digest().hex()));
    if look(&laid)?.is_none() {
        check_vacant(places.state)?;
        lay(backup, identities, &laid)?;
    }
    let beside = put_settings(&laid.join(SETTINGS), places.settings)?;
    for part in PARTS {
        put(&laid.join(STATE).join(part), &places.state.join(part))?;
    }
    adopt_mode(&laid.join(STATE), places.state)?;
    sync(places.state)?;
    fs::remove_dir_all(&laid).map_err(BackupError::io("remove", &laid))?;
    sync(places.state)?;
    Ok(Restored { beside })
}

/// A station that is there is not overwritten. Folders without a file are none.
fn check_vacant(state: &Path) -> Result<(), BackupError> {
    for part in PARTS {
        if let Some(path) = file_in(&state.join(part))? {
            return Err(BackupError::Occupied { path });
        }
    }
    Ok(())
}

/// Some file at `path` or below it, if there is one.
fn file_in(path: &Path) -> Result<Option<PathBuf>, BackupError> {
    match look(path)? {
        None => return Ok(None),
        Some(found) if !found.is_dir() => return Ok(Some(path.into())),
        Some(_) => {}
    }
    for entry in fs::read_dir(path).map_err(BackupError::io("read", path))? {
        let entry = entry.map_err(BackupError::io("read", path))?;
        if let Some(file) = file_in(&entry.path())? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The whole backup, judged, at `laid`.
fn lay(backup: &StationBackup, identities: &Identities, laid: &Path) -> Result<(), BackupError> {
    let new = laid.with_extension("new");
    remove(&new)?;
    DirBuilder::new().mode(0o700).create(&new).map_err(BackupError::io("make", &new))?;
    let done = lay_into(backup, identities, &new).and_then(|()| {
        sync(&new)?;
        fs::rename(&new, laid).map_err(BackupError::io("rename", &new))?;
        sync(laid.parent().unwrap_or(laid))
    });
    if done.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    done
}

fn lay_into(backup: &StationBackup, identities: &Identities, new: &Path) -> Result<(), BackupError> {
    let owners = Owners::of_this_machine().map_err(BackupError::io("read", "/etc/passwd"))?;
    let mut folders = Vec::new();
    backup.each(identities, |entry, content| {
        let path = new.join(&entry.name);
        lay_one(entry, &path, content)?;
        give_to(entry, &path, &owners)?;
        if entry.kind == Kind::Folder {
            folders.push((path, entry.mode));
        }
        Ok(())
    })?;
    judge(backup, &new.join(STATE).join("trust"))?;
    // Only now: a folder that nobody may write to could not have been filled.
    folders.iter().rev().try_for_each(|(path, mode)| sync(path).and_then(|()| set_mode(path, *mode)))
}

fn lay_one(entry: &Entry, path: &Path, content: &mut dyn Read) -> Result<(), BackupError> {
    match &entry.kind {
        Kind::Folder => DirBuilder::new().mode(0o700).create(path).map_err(BackupError::io("make", path)),
        Kind::Link(target) => symlink(target, path).map_err(BackupError::io("make the link", path)),
        Kind::File => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let mut file = made.map_err(BackupError::io("create", path))?;
            io::copy(content, &mut file).map_err(BackupError::io("write", path))?;
            set_mode(path, entry.mode)?;
            file.sync_all().map_err(BackupError::io("write", path))
        }
    }
}

/// What it was owned by is asked for by name; without a name its number counts.
fn give_to(entry: &Entry, path: &Path, owners: &Owners) -> Result<(), BackupError> {
    let one = |what: &'static str, owner: &Owner, known: Option<u32>| match (known, owner.name.is_empty()) {
        (Some(number), _) => Ok(number),
        (None, true) => Ok(owner.number),
        (None, false) => Err(BackupError::NoOwner { what, name: owner.name.clone(), path: path.into() }),
    };
    let user = one("user", &entry.user, owners.user(&entry.user.name))?;
    let group = one("group", &entry.group, owners.group(&entry.group.name))?;
    if matches!(entry.kind, Kind::Link(_)) {
        return std::os::unix::fs::lchown(path, Some(user), Some(group)).map_err(BackupError::io("give away", path));
    }
    // A mode is set after it: giving away takes bits from it.
    chown(path, Some(user), Some(group)).map_err(BackupError::io("give away", path))?;
    if entry.kind == Kind::File { set_mode(path, entry.mode) } else { Ok(()) }
}

/// The trust state is the site's own, and the site has signed the backup. From here on it counts as an older copy.
fn judge(backup: &StationBackup, trust: &Path) -> Result<(), BackupError> {
    let manifest = backup.manifest();
    let directory = TrustDirectory::open(trust)?;
    let site = directory.site_root()?.ok_or_else(|| BackupError::layout("no site root is in it"))?;
    backup.check_signature(&site)?;
    let generation = directory.generation()?;
    if *site.id().as_str() != *manifest.site || generation != manifest.generation {
        return Err(BackupError::layout("the trust state in it is not the one that its table of contents names"));
    }
    Ok(directory.came_back(format!("the site, which may have gone on after its backup of {},", manifest.taken))?)
}

fn put(from: &Path, to: &Path) -> Result<(), BackupError> {
    if look(from)?.is_none() {
        return Ok(());
    }
    // Folders without a file are none. Whoever made a station here after a restore was cut off keeps it.
    if let Some(path) = file_in(to)? {
        return Err(BackupError::Occupied { path });
    }
    remove(to)?;
    fs::rename(from, to).map_err(BackupError::io("move into place", to))?;
    sync(to.parent().unwrap_or(to))
}

/// Puts each file of settings where none stands; beside it, where another one does.
fn put_settings(from: &Path, to: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut beside = Vec::new();
    let Some(_) = look(from)? else { return Ok(beside) };
    if look(to)?.is_none() {
        DirBuilder::new().recursive(true).mode(0o755).create(to).map_err(BackupError::io("make", to))?;
        adopt_mode(from, to)?;
    }
    let mut entries: Vec<_> = fs::read_dir(from)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
        .map_err(BackupError::io("read", from))?;
    entries.sort();
    for name in entries {
        let (from, mut to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            beside.extend(put_settings(&from, &to)?);
            continue;
        }
        if look(&to)?.is_some() {
            if is_same(&from, &to)? {
                continue;
            }
            to.as_mut_os_string().push(format!(".{BESIDE}"));
            beside.push(to.clone());
        }
        copy(&from, &to)?;
    }
    Ok(beside)
}

fn is_same(one: &Path, other: &Path) -> Result<bool, BackupError> {
    let read = |path: &Path| fs::read(path).map_err(BackupError::io("read", path));
    Ok(read(one)? == read(other)?)
}

/// A copy, as the two may be on different filesystems; whole or not there.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let folder = to.parent().unwrap_or(to);
    let made = tempfile::NamedTempFile::new_in(folder).map_err(BackupError::io("make a file in", folder))?;
    fs::copy(from, made.path()).map_err(BackupError::io("write", to))?;
    adopt_mode(from, made.path())?;
    made.as_file().sync_all().map_err(BackupError::io("write", to))?;
    made.persist(to).map_err(|error| BackupError::io("write", to)(error.error))?;
    sync(folder)
}

/// Owner and mode of `from`.
fn adopt_mode(from: &Path, to: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(from).map_err(BackupError::io("look at", from))?;
    chown(to, Some(found.uid()), Some(found.gid())).map_err(BackupError::io("give away", to))?;
    set_mode(to, found.mode() & 0o777)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), BackupError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(BackupError::io("set the mode of", path))
}

fn look(path: &Path) -> Result<Option<fs::Metadata>, BackupError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(BackupError::io("look at", path)),
    }
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(BackupError::io("remove", path)),
    }
}

fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io("sync", folder))
}
