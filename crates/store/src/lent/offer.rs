//! A bundle file that the store is to take in, and what must be so before it does.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, Mode, OFlags, fadvise, statat, unlinkat};
use sealock_trust::Digest;

use crate::blob::size_of_file;
use crate::durable::{link, remove_if_there};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::store::Store;

/// Whoever else may write to a file.
const OTHERS_WRITE: u32 = 0o022;

/// A bundle file that nobody but the store's owner can write to, on the store's filesystem.
///
/// It keeps its name until the release is published that it brings: cut off before, the same import finds it again.
#[derive(Debug)]
pub struct Offer {
    file: Arc<File>,
    path: PathBuf,
    /// The folder that it stands in, whatever becomes of the path that led there.
    folder: OwnedFd,
}

impl Offer {
    /// Looks whether the store can take `file` in, which was opened at `path`.
    ///
    /// # Errors
    /// [`StoreError::OtherFilesystem`]; [`StoreError::Writable`] where another user owns it, or could write to it;
    /// [`StoreError::OtherFile`] where `path` is a link, or another file by now.
    pub fn new(store: &Store, file: Arc<File>, path: &Path) -> Result<Self, StoreError> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty()).during("open", folder)?;
        let offer = Self { file, path: path.to_owned(), folder };
        let metadata = offer.file.metadata().during("look at", path)?;
        let of_store = fs::metadata(store.path()).during("look at", store.path())?;
        if !offer.is_named()? {
            return Err(StoreError::OtherFile { path: offer.path });
        }
        if metadata.dev() != of_store.dev() {
            return Err(StoreError::OtherFilesystem { path: offer.path, store: store.path().to_owned() });
        }
        let owners = [rustix::process::geteuid().as_raw(), of_store.uid()];
        match who_else((metadata.uid(), metadata.permissions().mode()), &owners) {
            Some(who) => Err(StoreError::Writable { path: offer.path, who }),
            None => Ok(offer),
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes its bytes durable: whoever copied it here need not have waited for the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let synced = failpoint::hit("sync bundle").and_then(|()| self.file.sync_all());
        if synced.is_err() {
            // The page cache may look whole now while the disk is not: the next one to read it sees what the disk has.
            let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        }
        synced.during("sync", &self.path)
    }

    /// Gives the file a second name in the folder of the store. It must be this very file that is found there.
    pub(crate) fn link_to(&self, store: &Store, target: &Path) -> Result<(), StoreError> {
        remove_if_there(target)?;
        match link(&self.path, target) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {
                let (path, store) = (self.path.clone(), store.path().to_owned());
                return Err(StoreError::OtherFilesystem { path, store });
            }
            result => result?,
        }
        let linked = fs::symlink_metadata(target).during("look at", target)?;
        if !self.is(linked.dev(), linked.ino())? {
            remove_if_there(target)?;
            return Err(StoreError::OtherFile { path: self.path.clone() });
        }
        Ok(())
    }

    /// Takes the bundle away from where it was given, once the store lends from it as the bundle with this manifest. Returns
    /// whether it is gone from there: what is another file by now stays.
    ///
    /// # Errors
    /// [`StoreError::Io`]: it has two names, and the store has one of them.
    pub fn give_up(&self, store: &Store, manifest: &Digest) -> Result<bool, StoreError> {
        let taken = store.layout.lender(manifest);
        let is_taken = size_of_file(&taken)?.is_some() && {
            let metadata = fs::symlink_metadata(&taken).during("look at", &taken)?;
            self.is(metadata.dev(), metadata.ino())?
        };
        if !is_taken || !self.is_named()? {
            return Ok(false);
        }
        let remove = || unlinkat(&self.folder, self.name(), AtFlags::empty()).map_err(io::Error::from);
        failpoint::hit("give up").and_then(|()| remove()).during("remove", &self.path)?;
        let synced = failpoint::hit("tidy folder").and_then(|()| Ok(rustix::fs::fsync(&self.folder)?));
        if let Err(error) = synced {
            // A power loss may bring the name back: of a file that the store has, too, and that nobody else can write.
            tracing::warn!(path = %self.path.display(), %error, "that a bundle is gone from there may not be durable");
        }
        Ok(true)
    }

    /// Whether the name that it was given by stands for it, and is no link.
    fn is_named(&self) -> Result<bool, StoreError> {
        match statat(&self.folder, self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(false),
            result => {
                let found = result.during("look at", &self.path)?;
                self.is(found.st_dev, found.st_ino)
            }
        }
    }

    fn is(&self, device: u64, inode: u64) -> Result<bool, StoreError> {
        let own = self.file.metadata().during("look at", &self.path)?;
        Ok((own.dev(), own.ino()) == (device, inode))
    }

    fn name(&self) -> &std::ffi::OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// Who else could write to a file with this owner and mode, if anybody. An ACL shows in the mode, too: as the group's rights.
fn who_else((owner, mode): (u32, u32), owners: &[u32]) -> Option<&'static str> {
    match () {
        () if !owners.contains(&owner) => Some("belongs to another user, who"),
        () if mode & OTHERS_WRITE != 0 => Some("has a mode by which another user"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_stores_alone_if_its_owner_is_and_nobody_else_may_write() {
        for mode in [0o100_644, 0o100_600, 0o100_444, 0o100_755] {
            assert_eq!(who_else((7, mode), &[0, 7]), None, "{mode:o}");
            assert!(who_else((8, mode), &[0, 7]).is_some(), "{mode:o}");
        }
        for mode in [0o100_664, 0o100_646, 0o100_666, 0o100_020] {
            assert!(who_else((7, mode), &[0, 7]).is_some(), "{mode:o}");
        }
    }
}
