//! Snapshots: streamed from one member into a file, and checked.
//!
//! etcd sends its database and then the SHA-256 of it. The database's length is a multiple of 512 bytes, so a whole snapshot's
//! length leaves 32 when divided by 512. A stream cannot be resumed: each point in time is another one. So a broken one is
//! begun anew, from the next member, a few times.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest, Hasher};
use serde::Serialize;

use super::client::{Etcd, Survey};
use super::connection::Connection;
use super::error::EtcdError;

const HASH: u64 = 32;
const SECTOR: u64 = 512;
/// etcd's own limit for a database is 8 GiB; a larger one is taken too, but not without end.
const LARGEST: u64 = 128 << 30;
const TRIES: usize = 3;
const TEMPORARY: &str = ".sealock-new";

/// What is wrong with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotFault {
    /// It cannot be whole.
    #[error(
        "it has {size} bytes, which is no database with its SHA-256 behind it: it was cut off, or is something else"
    )]
    Size {
        /// Its length.
        size: u64,
    },
    /// It was changed.
    #[error("its content has the SHA-256 {found}, and it ends with {said}")]
    Hash {
        /// Of the content.
        found: String,
        /// What it ends with.
        said: String,
    },
    /// It is not the one that was meant.
    #[error("it is {found}, and {wanted} was meant")]
    Other {
        /// The file's digest.
        found: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// The member sends more than it may.
    #[error("it is larger than {limit} bytes")]
    Endless {
        /// What is borne.
        limit: u64,
    },
    /// The stream ended early.
    #[error("the stream ended {missing} bytes early")]
    CutOff {
        /// What the member had still promised.
        missing: u64,
    },
}

impl SnapshotFault {
    /// Its reason code.
    pub fn code(&self) -> Code {
        match self {
            Self::Size { .. } | Self::CutOff { .. } => Code::Incomplete,
            Self::Hash { .. } | Self::Other { .. } => Code::Digest,
            Self::Endless { .. } => Code::Limit,
        }
    }
}

/// A snapshot that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// Its bytes, the SHA-256 at the end included.
    pub size: u64,
    /// Of the whole file.
    pub digest: Digest,
}

/// A snapshot that was just taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// The file.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// What the member had reached when it was asked; the snapshot holds it, and perhaps a little more.
    pub revision: i64,
    /// The member's version; empty where it does not say (before 3.6), or does not know it yet (in the seconds after a start).
    pub version: String,
    /// Where it came from.
    pub endpoint: String,
}

impl Etcd {
    /// Writes a snapshot to `path`, which must not exist yet. It gets its name only when it is whole and on the disk.
    /// `progress` is told bytes done and bytes in all, as far as the member says.
    ///
    /// # Errors
    /// No member gave a whole one, or the file cannot be written.
    pub async fn snapshot(&self, path: &Path, progress: &dyn Fn(u64, u64)) -> Result<Taken, EtcdError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(EtcdError::io("write", path)(io::ErrorKind::AlreadyExists.into()));
        }
        let survey = self.survey().await?;
        let mut members = self.voters(&survey);
        // Followers first: the leader has enough to do. Without quorum any member that answers still gives what it has.
        members.reverse();
        if members.is_empty() {
            members = survey.states.iter().filter_map(|state| self.at(state)).collect();
        }
        let mut last = None;
        for member in members.iter().cycle().take(TRIES) {
            match take(member, path, progress).await {
                // The stream itself does not say the revision: etcd leaves it empty in the headers.
                Ok(taken) => return Ok(Taken { revision: reached(&survey, member), ..taken }),
                // The disk's fault is no other with another member.
                Err(error @ EtcdError::Io { .. }) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        let source = Box::new(last.unwrap_or(EtcdError::NoLeader));
        Err(EtcdError::NoSnapshot { tries: TRIES, source })
    }
}

/// The revision at which `member` was seen.
fn reached(survey: &Survey, member: &Connection) -> i64 {
    let seen = survey.states.iter().find(|state| state.endpoint.as_ref() == Some(member.endpoint()));
    seen.and_then(|state| state.status.as_ref()).map_or(0, |status| status.revision)
}

async fn take(member: &Connection, path: &Path, progress: &dyn Fn(u64, u64)) -> Result<Taken, EtcdError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(TEMPORARY);
    let temporary = path.with_file_name(name);
    let result = stream(member, &temporary, path, progress).await;
    if result.is_err() {
        // The error that led here is the one worth telling.
        let _ = fs::remove_file(&temporary);
    }
    result
}

async fn stream(
    member: &Connection,
    temporary: &Path,
    path: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<Taken, EtcdError> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(EtcdError::io("remove", temporary)(error)),
        _ => {}
    }
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    let mut file = options.map_err(EtcdError::io("write", temporary))?;
    let fault = |source| EtcdError::Snapshot { path: path.to_owned(), source };
    let (mut check, mut promised) = (Check::new(), 0);
    let mut version = String::new();
    let mut chunks = member.snapshot().await?;
    while let Some(chunk) = chunks.next().await? {
        if check.size == 0 {
            version = chunk.version.chars().take(64).collect();
        }
        file.write_all(&chunk.bytes).map_err(EtcdError::io("write", temporary))?;
        check.update(&chunk.bytes);
        promised = chunk.remaining;
        if check.size > LARGEST {
            return Err(fault(SnapshotFault::Endless { limit: LARGEST }));
        }
        progress(check.size, check.size.saturating_add(promised));
    }
    if promised != 0 {
        return Err(fault(SnapshotFault::CutOff { missing: promised }));
    }
    let (size, digest) = check.finish().map_err(fault)?;
    file.sync_all().map_err(EtcdError::io("sync", temporary))?;
    fs::rename(temporary, path).map_err(EtcdError::io("rename", temporary))?;
    sync_folder_of(path).map_err(EtcdError::io("sync the folder of", path))?;
    let snapshot = Snapshot { path: path.to_owned(), size, digest };
    Ok(Taken { snapshot, revision: 0, version, endpoint: member.endpoint().to_string() })
}

/// Checks the snapshot at `path`: its size, the SHA-256 at its end, and where `wanted` is given its digest as a whole.
///
/// # Errors
/// It is not whole, was changed, or is another one.
pub fn check(path: &Path, wanted: Option<&Digest>) -> Result<Snapshot, EtcdError> {
    let mut file = File::open(path).map_err(EtcdError::io("open", path))?;
    let mut check = Check::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => check.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(EtcdError::io("read", path)(error)),
        }
    }
    let fault = |source| EtcdError::Snapshot { path: path.to_owned(), source };
    let (size, digest) = check.finish().map_err(fault)?;
    match wanted {
        Some(wanted) if *wanted != digest => Err(fault(SnapshotFault::Other { found: digest, wanted: wanted.clone() })),
        _ => Ok(Snapshot { path: path.to_owned(), size, digest }),
    }
}

/// Hashes all but the last 32 bytes, whatever pieces they come in, and all of it besides.
struct Check {
    content: Hasher,
    whole: Hasher,
    /// The last bytes seen: 32 at most, not hashed yet.
    tail: Vec<u8>,
    size: u64,
}

impl Check {
    fn new() -> Self {
        let new = || Hasher::new(Algorithm::Sha256);
        Self { content: new(), whole: new(), tail: Vec::with_capacity(64), size: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.whole.update(bytes);
        let keep = HASH as usize;
        let (head, end) = bytes.split_at(bytes.len().saturating_sub(keep));
        if head.is_empty() && end.len() < keep {
            self.tail.extend_from_slice(end);
        } else {
            self.content.update(&self.tail);
            self.content.update(head);
            self.tail.clear();
            self.tail.extend_from_slice(end);
        }
        let extra = self.tail.len().saturating_sub(keep);
        self.content.update(&self.tail[..extra]);
        self.tail.drain(..extra);
    }

    fn finish(self) -> Result<(u64, Digest), SnapshotFault> {
        if self.size % SECTOR != HASH || self.size < SECTOR {
            return Err(SnapshotFault::Size { size: self.size });
        }
        let (found, said) = (self.content.finish(), hex::encode(&self.tail));
        if found.hex() != said {
            return Err(SnapshotFault::Hash { found: found.hex().to_owned(), said });
        }
        Ok((self.size, self.whole.finish()))
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..2048_u32).map(|n| (n % 251) as u8).collect();
        let hash = Digest::sha256(&bytes);
        bytes.extend(hex::decode(hash.hex()).unwrap());
        bytes
    }

    fn judge(bytes: &[u8], piece: usize) -> Result<(u64, Digest), SnapshotFault> {
        let mut check = Check::new();
        bytes.chunks(piece).for_each(|piece| check.update(piece));
        check.finish()
    }

    #[test]
    fn a_whole_snapshot_is_known_whatever_pieces_it_comes_in() {
        let bytes = snapshot();
        for piece in [1, 7, 31, 32, 33, 512, 2047, 2048, 2080, 5000] {
            assert_eq!(judge(&bytes, piece), Ok((2080, Digest::sha256(&bytes))), "{piece}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_found() {
        let bytes = snapshot();
        for place in (0..bytes.len()).step_by(13) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            assert!(matches!(judge(&flipped, 100), Err(SnapshotFault::Hash { .. })), "byte {place}");
        }
        for length in (0..bytes.len()).rev() {
            let fault = judge(&bytes[..length], 100).unwrap_err();
            let expected = if length % 512 == 32 && length > 512 { Code::Digest } else { Code::Incomplete };
            assert_eq!(fault.code(), expected, "{length} bytes");
        }
    }
}
