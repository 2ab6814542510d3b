//! The host's part of a restore: what the station sends is laid into one folder, each file by its digest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::manifest::Content;
use super::{BackupError, payload};

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

/// Lays what `input` brings into a folder of its own in `folder`; it gets its name when it is whole and on the disk. One that is there
/// already stays as it is.
///
/// # Errors
/// It is not what its own first line says, or the disk does not take it. Then nothing stays.
pub fn unpack(input: impl Read, folder: &Path) -> Result<(), BackupError> {
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut line = Vec::new();
    (&mut input).take(LINE).read_until(b'\n', &mut line).map_err(BackupError::io("read", "the backup"))?;
    let delivery: Delivery = serde_json::from_slice(&line).map_err(|error| BackupError::layout(error.to_string()))?;
    let target = folder.join(delivery.backup.hex());
    if target.exists() {
        return Ok(());
    }
    let new = folder.join(format!("{}.new", delivery.backup.hex()));
    make_anew(&new)?;
    let unpacked = payload::read(&delivery.contents, input, |content, file| put(&new.join(&content.path), file));
    let kept = unpacked.and_then(|()| keep(&new, &target, folder));
    if kept.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    kept
}

fn make_anew(new: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(BackupError::io("remove", new))?,
    }
    DirBuilder::new().recursive(true).mode(0o700).create(new).map_err(BackupError::io("make", new))
}

fn put(path: &Path, content: &mut dyn Read) -> Result<(), BackupError> {
    let parent = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(BackupError::io("make", parent))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(BackupError::io("create", path))?;
    io::copy(content, &mut file).and_then(|_| file.sync_all()).map_err(BackupError::io("write", path))
}

fn keep(new: &Path, target: &Path, folder: &Path) -> Result<(), BackupError> {
    fs::rename(new, target).map_err(BackupError::io("rename", new))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io("sync", folder))
}
