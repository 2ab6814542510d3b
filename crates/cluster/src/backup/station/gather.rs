//! The station's part: its files, in a fixed order, encrypted on their way out.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::names::{FOLDERS_OF_STORE, OF_STORE, PARTS, SETTINGS, STATE, is_passed_over, may_be_folder, may_be_in};
use super::owners::Owners;
use crate::backup::disk::look;
use crate::backup::{BackupError, Draft, Recipients};

/// No folder of a station is nested deeper.
const DEEPEST: usize = 32;

/// Where the files of a station stand.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The state folder. Whoever takes the backup holds the locks of its store and trust state, so that neither moves meanwhile.
    pub state: &'a Path,
    /// The folder of settings.
    pub settings: &'a Path,
}

/// What went into a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Files, folders and links.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Writes the files of a station to `draft`, encrypted for `recipients`.
///
/// # Errors
/// A file cannot be read, or the disk takes no more.
pub fn take(source: &Source<'_>, recipients: &Recipients, draft: &mut Draft) -> Result<Gathered, BackupError> {
    let path = draft.path().to_owned();
    let failed = |error| BackupError::io("write", &path)(error);
    let encrypted = recipients.encryptor()?.wrap_output(BufWriter::with_capacity(1 << 16, draft)).map_err(failed)?;
    let owners = Owners::of_this_machine().map_err(BackupError::io("read", "/etc/passwd"))?;
    let mut gatherer = Gatherer { archive: Builder::new(encrypted), owners, gathered: Gathered::default() };
    gatherer.state(source.state)?;
    gatherer.tree(SETTINGS, source.settings, 0)?;
    let gathered = gatherer.gathered;
    let encrypted = gatherer.archive.into_inner().map_err(failed)?;
    encrypted.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    Ok(gathered)
}

struct Gatherer<W: Write> {
    archive: Builder<W>,
    owners: Owners,
    gathered: Gathered,
}

impl<W: Write> Gatherer<W> {
    fn state(&mut self, state: &Path) -> Result<(), BackupError> {
        self.folder(STATE, state)?;
        for part in PARTS {
            let (name, path) = (format!("{STATE}/{part}"), state.join(part));
            match part {
                "store" => self.store(&name, &path)?,
                _ => self.tree(&name, &path, 0)?,
            }
        }
        Ok(())
    }

    fn store(&mut self, name: &str, store: &Path) -> Result<(), BackupError> {
        self.folder(name, store)?;
        for folder in FOLDERS_OF_STORE {
            self.folder(&format!("{name}/{folder}"), &store.join(folder))?;
        }
        OF_STORE.iter().try_for_each(|part| self.tree(&format!("{name}/{part}"), &store.join(part), 0))
    }

    /// What stands at `path`, and below it; nothing where there is nothing.
    fn tree(&mut self, name: &str, path: &Path, depth: usize) -> Result<(), BackupError> {
        let Some(mut found) = look(path)? else { return Ok(()) };
        if depth > DEEPEST {
            return Err(BackupError::NotTaken { path: path.into(), why: "it is nested too deeply" });
        }
        if found.is_symlink() {
            match name.starts_with(SETTINGS) {
                // Settings may be links, to a certificate that another program renews: what they lead to is taken.
                true => found = fs::metadata(path).map_err(BackupError::io("follow the link", path))?,
                false if name == LINK => return self.link(name, path, &found),
                false => return Err(BackupError::NotTaken { path: path.into(), why: "it is a link" }),
            }
        }
        if found.is_dir() {
            self.folder(name, path)?;
            return children(path)?
                .into_iter()
                .try_for_each(|(child, path)| self.tree(&format!("{name}/{child}"), &path, depth + 1));
        }
        match found.is_file() {
            true if is_passed_over(name) => Ok(()),
            true => self.file(name, path),
            false if found.file_type().is_socket() => Ok(()),
            false => Err(BackupError::NotTaken { path: path.into(), why: "it is neither a file nor a folder" }),
        }
    }

    /// The folder at `path`, without what is in it. It may be a link to one on another disk.
    fn folder(&mut self, name: &str, path: &Path) -> Result<(), BackupError> {
        if look(path)?.is_none() {
            return Ok(());
        }
        let found = fs::metadata(path).map_err(BackupError::io("look at", path))?;
        match found.is_dir() {
            true => self.append(name, path, (EntryType::Directory, &found, 0), io::empty()),
            false => Err(BackupError::NotTaken { path: path.into(), why: "it is no folder" }),
        }
    }

    /// So much of it as was there when it was opened: a log may go on, and another file may take its name.
    fn file(&mut self, name: &str, path: &Path) -> Result<(), BackupError> {
        let mut options = OpenOptions::new();
        if !name.starts_with(SETTINGS) {
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        }
        let file = options.read(true).open(path).map_err(BackupError::io("open", path))?;
        let found = file.metadata().map_err(BackupError::io("look at", path))?;
        self.append(name, path, (EntryType::Regular, &found, found.len()), file.take(found.len()))
    }

    fn link(&mut self, name: &str, path: &Path, found: &Metadata) -> Result<(), BackupError> {
        let target = fs::read_link(path).map_err(BackupError::io("read", path))?;
        let mut header = self.header(name, path, (EntryType::Symlink, found, 0))?;
        header.set_link_name(&target).map_err(BackupError::io("write the link", path))?;
        header.set_cksum();
        self.archive.append(&header, io::empty()).map_err(BackupError::io("take", path))?;
        self.gathered.files += 1;
        Ok(())
    }

    fn append(
        &mut self,
        name: &str,
        path: &Path,
        (kind, found, size): (EntryType, &Metadata, u64),
        content: impl Read,
    ) -> Result<(), BackupError> {
        let mut header = self.header(name, path, (kind, found, size))?;
        header.set_cksum();
        let mut counted = Counted { inner: content, count: 0 };
        self.archive.append(&header, &mut counted).map_err(BackupError::io("take", path))?;
        if counted.count != size {
            return Err(BackupError::NotTaken { path: path.into(), why: "it became shorter while it was read" });
        }
        self.gathered.files += 1;
        self.gathered.bytes += size;
        Ok(())
    }

    fn header(
        &self,
        name: &str,
        path: &Path,
        (kind, found, size): (EntryType, &Metadata, u64),
    ) -> Result<Header, BackupError> {
        let too_long = |_| BackupError::NotTaken { path: path.into(), why: "its name is too long for a backup" };
        if !(may_be_in(name) || kind == EntryType::Directory && may_be_folder(name)) {
            return Err(BackupError::NotTaken { path: path.into(), why: "its name has no place in a backup" });
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path(name).map_err(too_long)?;
        header.set_size(size);
        header.set_mode(found.mode() & 0o7777);
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or_default());
        header.set_uid(found.uid().into());
        header.set_gid(found.gid().into());
        let (user, group) = self.owners.names(found.uid(), found.gid());
        header.set_username(user.unwrap_or_default()).map_err(too_long)?;
        header.set_groupname(group.unwrap_or_default()).map_err(too_long)?;
        Ok(header)
    }
}

/// The one link of a station: which release is served.
pub(super) const LINK: &str = "state/store/current";

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        Ok(length)
    }
}

/// What stands in the folder, by name, sorted.
fn children(folder: &Path) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let reading = |error| BackupError::io("read", folder)(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name else {
            return Err(BackupError::NotTaken { path, why: "its name is not UTF-8" });
        };
        found.push((name.to_owned(), path));
    }
    found.sort();
    Ok(found)
}
