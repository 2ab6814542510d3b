//! Lays a backup of a station out on a machine that is none yet.
//!
//! All of it is laid into one folder first, and judged there; then its parts are moved into place, `trust` last: until then the machine is
//! no station. Cut off anywhere, the same call goes on.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use sealock_trust::TrustDirectory;

use super::file::StationBackup;
use super::names::{PARTS, SETTINGS, STATE};
use super::owners::{Owners, give};
use super::settings::{self, make};
use super::unpack::{Entry, Kind, Owner};
use crate::backup::disk::{look, remove, sync};
use crate::backup::unpack::alone_in;
use crate::backup::{BackupError, Identities};

/// How the name begins of the folder that a backup is laid into.
const PREFIX: &str = "restoring-";

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
    let beside = settings::put(&laid.join(SETTINGS), places.settings)?;
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
pub(super) fn lay(backup: &StationBackup, identities: &Identities, laid: &Path) -> Result<(), BackupError> {
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
