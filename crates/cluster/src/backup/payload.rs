//! What is encrypted in a backup: one tar of regular files, in the order of the table of contents.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sealock_trust::{Algorithm, Digest, Hasher};
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use super::manifest::Content;
use super::{BackupError, Recipients};

/// No file of a backup is larger; in bytes.
const LARGEST: u64 = 128 << 30;
/// etcd's snapshot, the authorities, the spec: there are about a dozen.
const MOST: usize = 64;

/// A file that goes into a backup.
pub(super) struct Part {
    pub(super) content: Content,
    source: Source,
}

enum Source {
    Memory(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl Part {
    pub(super) fn of_bytes(path: impl Into<String>, bytes: Zeroizing<Vec<u8>>) -> Self {
        let content = Content { path: path.into(), digest: Digest::sha256(&bytes), size: bytes.len() as u64 };
        Self { content, source: Source::Memory(bytes) }
    }

    pub(super) fn of_file(path: impl Into<String>, file: &Path, digest: Digest, size: u64) -> Self {
        Self { content: Content { path: path.into(), digest, size }, source: Source::File(file.to_owned()) }
    }

    /// What is in it, where that is text in memory.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        match &self.source {
            Source::Memory(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Source::File(path) => panic!("{} is a file", path.display()),
        }
    }

    fn append<W: Write>(&self, archive: &mut Builder<W>) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(self.content.size);
        header.set_mode(0o600);
        header.set_mtime(0);
        match &self.source {
            Source::Memory(bytes) => archive.append_data(&mut header, &self.content.path, bytes.as_slice()),
            Source::File(path) => archive.append_data(&mut header, &self.content.path, File::open(path)?),
        }
    }
}

/// Writes `parts` to `out`, encrypted for `recipients`.
///
/// # Errors
/// A part cannot be read, or `out` takes no more.
pub(super) fn write(parts: &[Part], recipients: &Recipients, out: impl Write) -> Result<(), BackupError> {
    let failed = |error| BackupError::io("write", "the backup")(error);
    let encrypted = recipients.encryptor()?.wrap_output(BufWriter::with_capacity(1 << 16, out)).map_err(failed)?;
    let mut archive = Builder::new(encrypted);
    for part in parts {
        part.append(&mut archive).map_err(failed)?;
    }
    let encrypted = archive.into_inner().map_err(failed)?;
    encrypted.finish().and_then(|mut out| out.flush()).map_err(failed)
}

/// Whether a table of contents can be one: bounded, and every path leads into the folder that it is unpacked to and fits into a tar's header.
pub(super) fn check_contents(contents: &[Content]) -> Result<(), BackupError> {
    if contents.is_empty() || contents.len() > MOST {
        return Err(BackupError::layout(format!("it lists {} files", contents.len())));
    }
    for content in contents {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        if content.path.len() > 99 || !content.path.split('/').all(is_plain) {
            return Err(BackupError::layout(format!("{:?} is no path in a folder", content.path)));
        }
        if content.size > LARGEST {
            return Err(BackupError::Limit { what: content.path.clone(), limit: LARGEST });
        }
    }
    Ok(())
}

/// Reads the tar in `input`, which must hold what `contents` lists, and nothing else. Each file is given to `take` as it comes; what
/// `take` leaves unread is read all the same.
///
/// # Errors
/// It holds something else, or `take` fails.
pub(super) fn read(
    contents: &[Content],
    input: impl Read,
    mut take: impl FnMut(&Content, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    check_contents(contents)?;
    let failed = |error: io::Error| BackupError::layout(format!("its content cannot be read: {error}"));
    let mut archive = Archive::new(input);
    let mut entries = archive.entries().map_err(failed)?.raw(true);
    for content in contents {
        let next = entries.next().ok_or_else(|| BackupError::layout(format!("{} is missing", content.path)))?;
        let entry = next.map_err(failed)?;
        let is_it = entry.header().entry_type() == EntryType::Regular
            && *entry.path_bytes() == *content.path.as_bytes()
            && entry.size() == content.size;
        if !is_it {
            return Err(BackupError::layout(format!("{} is not where it should be", content.path)));
        }
        let mut hashed = Hashed { inner: entry, hasher: Hasher::new(Algorithm::Sha256) };
        take(content, &mut hashed)?;
        io::copy(&mut hashed, &mut io::sink()).map_err(failed)?;
        let found = hashed.hasher.finish();
        if found != content.digest {
            return Err(BackupError::Digest { what: content.path.clone(), found, wanted: content.digest.clone() });
        }
    }
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(BackupError::layout("it holds more than its table of contents lists")),
    }
}

/// Hashes what is read.
pub(super) struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
