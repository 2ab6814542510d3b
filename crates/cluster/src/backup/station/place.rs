//! Lays a backup of a station out on a machine that is none yet.
//!
//! All of it is laid into one folder first, and judged there; then its parts are moved into place, `trust` last: until then the machine is
//! no station. Cut off anywhere, the same call goes on.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
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
        make(places.state)?;
    }
    let _alone = alone_in(places.state)?;
    check_place(places.state)?;
    let laid = places.state.join(format!("{PREFIX}{}", backup.digest().hex()));
    clear_others(places.state, &laid)?;
    let waiting = match look(&laid)? {
        Some(_) => PARTS.into_iter().filter(|part| laid.join(STATE).join(part).exists()).collect(),
        None => PARTS.to_vec(),
    };
    check_vacant(places.state, &waiting)?;
    if look(&laid)?.is_none() {
        lay(backup, identities, &laid)?;
    }
    let beside = put_settings(&laid.join(SETTINGS), places.settings)?;
    for part in PARTS {
        put(&laid.join(STATE).join(part), &places.state.join(part))?;
    }
    let adopted = look(&laid.join(STATE))?;
    fs::remove_dir_all(&laid).map_err(BackupError::io("remove", &laid))?;
    // Last: the folder may be somebody else's from here on.
    if let Some(adopted) = adopted {
        give(places.state, (adopted.uid(), adopted.gid()), adopted.mode() & 0o777)?;
    }
    sync(places.state)?;
    Ok(Restored { beside })
}

/// What is laid here is believed afterwards: so nobody else may write here.
fn check_place(state: &Path) -> Result<(), BackupError> {
    let found = fs::metadata(state).map_err(BackupError::io("look at", state))?;
    let is_own = |found: &Metadata| found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
    let refused = |path: &Path, why, remedy| Err(BackupError::NotAPlace { path: path.into(), why, remedy });
    if !is_own(&found) {
        return refused(
            state,
            "others can write to it",
            "make it root's alone (`chown root: DIR && chmod 755 DIR`), or use another `--state-dir`; it gets the owner and mode of the backup in the end",
        );
    }
    for part in PARTS {
        let path = state.join(part);
        if look(&path)?.is_some_and(|part| part.dev() != found.dev()) {
            return refused(
                &path,
                "it is on a filesystem of its own, and what is restored is moved into place",
                "unmount it, restore, and move the part to its filesystem afterwards",
            );
        }
    }
    Ok(())
}

/// What an attempt with another backup has left: keys may lie in it. One that is whole is somebody's unfinished work.
fn clear_others(state: &Path, laid: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(state).map_err(BackupError::io("read", state))? {
        let path = entry.map_err(BackupError::io("read", state))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || path == laid {
            continue;
        }
        if name.ends_with(".new") {
            remove(&path)?;
            continue;
        }
        return Err(BackupError::NotAPlace {
            path,
            why: "another backup was being restored, and was cut off",
            remedy: "run that restore again to its end, or remove the folder that it has left",
        });
    }
    Ok(())
}

/// A station that is there is not overwritten. Folders without a file are none.
fn check_vacant(state: &Path, parts: &[&str]) -> Result<(), BackupError> {
    for part in parts {
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
        match &entry.kind {
            Kind::Folder => {
                DirBuilder::new().mode(0o700).create(&path).map_err(BackupError::io("make", &path))?;
                folders.push((path, entry.clone()));
                Ok(())
            }
            Kind::Link(target) => {
                symlink(target, &path).map_err(BackupError::io("make the link", &path))?;
                give_to(entry, &path, &owners)
            }
            Kind::File => {
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                let mut file = made.map_err(BackupError::io("create", &path))?;
                io::copy(content, &mut file).map_err(BackupError::io("write", &path))?;
                give_to(entry, &path, &owners)
            }
        }
    })?;
    judge(backup, &new.join(STATE).join("trust"))?;
    // Only now: a folder that nobody may write to could not have been filled.
    folders.iter().rev().try_for_each(|(path, entry)| give_to(entry, path, &owners))
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
    match entry.kind {
        Kind::Link(_) => lchown(path, Some(user), Some(group)).map_err(BackupError::io("give away", path)),
        Kind::File | Kind::Folder => give(path, (user, group), entry.mode),
    }
}

/// Gives a file or folder owner and mode, and makes it durable with them.
fn give(path: &Path, (user, group): (u32, u32), mode: u32) -> Result<(), BackupError> {
    // Opened before: its mode may keep us from it afterwards. And the mode after the owner, since giving away takes bits from it.
    let file = File::open(path).map_err(BackupError::io("open", path))?;
    fchown(&file, Some(user), Some(group)).map_err(BackupError::io("give away", path))?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(BackupError::io("set the mode of", path))?;
    file.sync_all().map_err(BackupError::io("sync", path))
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
            beside.extend(put_settings(&from, &to)?);
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
fn make(folder: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(BackupError::io("make", folder))?;
    folder.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()).try_for_each(sync)
}

fn look(path: &Path) -> Result<Option<Metadata>, BackupError> {
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
