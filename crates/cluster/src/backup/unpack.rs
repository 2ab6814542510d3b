//! The host's part of a restore: what the station sends is laid into one folder, each file by its digest.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sealock_node::{Local, Locked, StepError, host};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::disk::{remove, sync};
use super::manifest::Content;
use super::{BackupError, payload};

/// As long as the station itself waits.
const PATIENCE: Timespec = Timespec { tv_sec: 300, tv_nsec: 0 };

/// A table of contents needs far less; in bytes.
const LINE: u64 = 1 << 20;

/// What comes: one line of JSON, and the tar behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Delivery {
    /// The backup's digest, whose digits are the folder's name.
    pub backup: Digest,
    /// What the tar holds.
    pub contents: Vec<Content>,
}

/// Lays what `input` brings into a folder of its own in `folder`; it gets its name when it is whole and on the disk. One that is there and
/// whole stays as it is.
///
/// # Errors
/// It is not what its own first line says, or the disk does not take it. Then nothing stays.
pub fn unpack(input: impl Read, folder: &Path) -> Result<(), BackupError> {
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut line = Vec::new();
    (&mut input).take(LINE).read_until(b'\n', &mut line).map_err(BackupError::io("read", "the backup"))?;
    let delivery: Delivery = serde_json::from_slice(&line).map_err(|error| BackupError::layout(error.to_string()))?;
    payload::check_contents(&delivery.contents)?;
    make(folder)?;
    let _alone = alone_in(folder)?;
    let target = folder.join(delivery.backup.hex());
    if is_whole(&target, &delivery.contents)? {
        return Ok(());
    }
    remove(&target)?;
    let new = folder.join(format!("{}.new", delivery.backup.hex()));
    remove(&new)?;
    make(&new)?;
    let unpacked = payload::read(&delivery.contents, input, |content, file| put(&new.join(&content.path), file));
    let kept = unpacked.and_then(|()| keep(&new, &target, &delivery.contents));
    if kept.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    kept
}

/// Gives up where nothing comes for too long: a station that lost its power says nothing, and others wait for the folder.
#[derive(Debug)]
pub struct Patient<R>(pub R);

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waited = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        match poll(&mut waited, Some(&PATIENCE))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the station sends nothing any more")),
            _ => self.0.read(buffer),
        }
    }
}

/// Holds `folder` for one backup or restore, until what is given back is dropped.
pub(super) fn alone_in(folder: &Path) -> Result<Locked, BackupError> {
    let file = File::open(folder).map_err(BackupError::io("open", folder))?;
    let held = Locked::take(file).map_err(BackupError::io("lock", folder))?;
    held.ok_or_else(|| BackupError::Busy { path: folder.into() })
}

/// Whether every file is there, and is what it should be.
fn is_whole(target: &Path, contents: &[Content]) -> Result<bool, BackupError> {
    for content in contents {
        let path = target.join(&content.path);
        match host::digest(&Local::new(), &path.to_string_lossy()) {
            Ok(found) if found == content.digest => {}
            Ok(_) => return Ok(false),
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) => return Err(StepError::from(error).into()),
        }
    }
    Ok(true)
}

fn make(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(BackupError::io("make", path))
}

fn put(path: &Path, content: &mut dyn Read) -> Result<(), BackupError> {
    make(path.parent().unwrap_or(path))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(BackupError::io("create", path))?;
    io::copy(content, &mut file).and_then(|_| file.sync_all()).map_err(BackupError::io("write", path))
}

fn keep(new: &Path, target: &Path, contents: &[Content]) -> Result<(), BackupError> {
    let mut folders = BTreeSet::from([new.to_owned()]);
    for content in contents {
        let path = new.join(&content.path);
        folders.extend(path.ancestors().skip(1).take_while(|folder| folder.starts_with(new)).map(Path::to_owned));
    }
    folders.iter().try_for_each(|folder| sync(folder))?;
    fs::rename(new, target).map_err(BackupError::io("rename", new))?;
    sync(target.parent().unwrap_or(target))
}
