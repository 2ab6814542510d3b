//! Folders for a while: for their owner alone, held by a lock, and gone on every way out. What runs that were killed have left goes before the
//! next one begins.
//!
//! They may lie where everybody writes, as in `/dev/shm` and `/var/tmp`: somebody else's file of such a name is passed over, never opened in a
//! way that waits, and never removed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::{Uid, geteuid};
use tempfile::TempDir;

const TRIES: usize = 3;
/// More than anybody guesses; each is a letter or a digit.
const RANDOM: usize = 16;

/// A folder for one run.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    lock: File,
}

impl Scratch {
    /// A new one in `parent`, whose name begins with `prefix`.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        for _ in 0..TRIES {
            let mut builder = tempfile::Builder::new();
            let builder = builder.prefix(prefix).rand_bytes(RANDOM).permissions(Permissions::from_mode(0o700));
            let folder = builder.tempdir_in(parent)?;
            // Another run may have taken it for one that was left, in the moment before it had a lock.
            if let Some(lock) = own(geteuid(), folder.path())? {
                return Ok(Self { folder, lock });
            }
        }
        Err(io::Error::other("the folders that are made there go away at once"))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// What the system says; then some of it stays.
    pub(crate) fn close(self) -> io::Result<()> {
        let closed = self.folder.close();
        drop(self.lock);
        closed
    }
}

/// Removes the folders in `parent` whose names begin with `prefix`, that are this user's, and that no run holds.
///
/// # Errors
/// What the system says of one; the others are gone.
pub(crate) fn clear(parent: &Path, prefix: &str) -> io::Result<()> {
    clear_of(geteuid(), parent, prefix)
}

fn clear_of(user: Uid, parent: &Path, prefix: &str) -> io::Result<()> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut failed = None;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let removed = own(user, &path).and_then(|lock| lock.map_or(Ok(()), |_held| fs::remove_dir_all(&path)));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => failed = failed.or(Some(error)),
            _ => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The folder at `path`, locked; nothing where it is gone, somebody else's than `user`'s, no folder, or held by another run.
fn own(user: Uid, path: &Path) -> io::Result<Option<File>> {
    let is_own = |found: &fs::Metadata| found.is_dir() && found.uid() == user.as_raw();
    let look = || match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    };
    if !look()?.is_some_and(|found| is_own(&found)) {
        return Ok(None);
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let folder = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    let held = folder.metadata()?;
    let is_still_it = |found: fs::Metadata| (found.dev(), found.ino()) == (held.dev(), held.ino());
    Ok((is_own(&held) && look()?.is_some_and(is_still_it)).then_some(folder))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    const PREFIX: &str = "sealock-test-";

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_for_its_owner_alone_and_gone_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let one = Scratch::new(parent.path(), PREFIX).unwrap();
        let found = fs::metadata(one.path()).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700);
        let name = one.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(name.strip_prefix(PREFIX).unwrap().len(), RANDOM);
        fs::write(one.path().join("key"), b"a key").unwrap();
        let two = Scratch::new(parent.path(), PREFIX).unwrap();
        clear(parent.path(), PREFIX).unwrap();
        assert!(one.path().join("key").exists() && two.path().exists(), "they are held");
        two.close().unwrap();
        drop(one);
        assert!(names(parent.path()).is_empty());
    }

    #[test]
    fn what_a_run_that_was_killed_has_left_goes_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        fs::create_dir_all(at("sealock-test-killed/data")).unwrap();
        fs::write(at("sealock-test-killed/data/db"), b"all that a cluster held").unwrap();
        fs::create_dir(at("another")).unwrap();
        clear(parent.path(), PREFIX).unwrap();
        assert_eq!(names(parent.path()), ["another"]);
        clear(&at("nowhere"), PREFIX).unwrap();
    }

    /// Where everybody writes, anybody may put something of such a name.
    #[test]
    fn attack_what_others_lay_there_is_passed_over_and_not_waited_for() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        mkfifoat(CWD, at("sealock-test-pipe"), Mode::RWXU).unwrap();
        fs::write(at("sealock-test-file"), b"").unwrap();
        fs::create_dir(at("kept")).unwrap();
        fs::write(at("kept/file"), b"").unwrap();
        std::os::unix::fs::symlink(at("kept"), at("sealock-test-link")).unwrap();
        clear(parent.path(), PREFIX).unwrap();
        let scratch = Scratch::new(parent.path(), PREFIX).unwrap();
        scratch.close().unwrap();
        assert_eq!(names(parent.path()), ["kept", "sealock-test-file", "sealock-test-link", "sealock-test-pipe"]);
        assert!(at("kept/file").exists());
    }

    #[test]
    fn attack_a_folder_of_somebody_else_is_passed_over() {
        let parent = tempfile::tempdir().unwrap();
        let theirs = parent.path().join("sealock-test-theirs");
        fs::create_dir(&theirs).unwrap();
        let somebody = Uid::from_raw(geteuid().as_raw() + 1);
        clear_of(somebody, parent.path(), PREFIX).unwrap();
        assert!(theirs.exists());
        clear(parent.path(), PREFIX).unwrap();
        assert!(!theirs.exists());
    }
}
