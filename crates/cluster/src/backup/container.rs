//! The file: a tar whose first entry is the signed table of contents, and whose last is the encrypted content.
//!
//! All but the two contents is determined by them, and compared when the file is read: no byte escapes judgement.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use age::Decryptor;
use sealock_trust::{Algorithm, Digest, Hasher};
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use super::error::in_words;
use super::interrupt::Watched;
use super::manifest::Payload;
use super::whole::Whole;
use super::{BackupError, Identities, Interrupt};

/// The table of contents and what pads it: so much, whatever it says, so that the encrypted content can be written before; in bytes.
const HEAD: u64 = 64 << 10;
const BLOCK: u64 = 512;
/// How the name begins of a file in the making.
pub(super) const PREFIX: &str = ".sealock-backup-";
const TABLE: &str = "backup.json";
const PAD: &str = "pad";
const BLOBS: &str = "blobs/sha256/";
/// Where a header has its own sum, which counts as spaces in it (POSIX, ustar).
const SUM: Range<usize> = 148..156;
/// Two blocks of zeros end a tar.
const END: u64 = 2 * BLOCK;
const AT_ONCE: usize = 1 << 20;
/// etcd's data, and some more.
pub(super) const LARGEST: u64 = 160 << 30;

/// A file in the making: first the encrypted content, then the table. It gets its name when it is whole.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
}

impl Draft {
    /// A draft of the new file `path`, which nobody but its owner will read.
    ///
    /// # Errors
    /// Something of that name is there, or no folder for it.
    pub fn new(path: &Path) -> Result<Self, BackupError> {
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(BackupError::io("write", path)(io::ErrorKind::AlreadyExists.into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder);
        let mut file = made.map_err(BackupError::io("make a file in", folder))?;
        file.as_file_mut().seek(SeekFrom::Start(HEAD + BLOCK)).map_err(BackupError::io("write", path))?;
        Ok(Self { file, path: path.to_owned(), hasher: Hasher::new(Algorithm::Sha256), size: 0 })
    }

    /// What it will be called.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The encrypted content so far.
    pub fn payload(&self) -> Payload {
        Payload { digest: self.hasher.clone().finish(), size: self.size }
    }

    /// Puts the signed table of contents `envelope`, which names [`Draft::payload`], before the content, and gives the file its name. Durable
    /// when it returns; the digest is that of the signed table, and names the backup.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish_with(mut self, envelope: &[u8]) -> Result<Digest, BackupError> {
        let failed = |error| BackupError::io("write", &self.path)(error);
        let payload = self.payload();
        let end = vec![0; usize::try_from(padding(self.size) + END).unwrap_or_default()];
        self.file.as_file_mut().write_all(&end).map_err(failed)?;
        self.file.as_file().write_all_at(&head(envelope, &payload)?, 0).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist_noclobber(&self.path).map_err(|error| BackupError::io("write", &self.path)(error.error))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io("sync", folder))?;
        Ok(Digest::sha256(envelope))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size > LARGEST {
            return Err(io::Error::other(format!("a backup is not larger than {LARGEST} bytes")));
        }
        let length = self.file.as_file_mut().write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// What tells one state of a file from another: where it is, how long, and when it or its entry was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    place: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            place: (found.dev(), found.ino()),
            size: found.size(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A file that is laid out as its table of contents says, every byte of it.
#[derive(Debug)]
pub(super) struct Container {
    path: PathBuf,
    file: File,
    payload: Payload,
    digest: Digest,
    identity: Identity,
    interrupt: Option<Interrupt>,
}

impl Container {
    /// Reads the file at `path`, all of it. `judge` is given the signed table of contents, and says what it makes of it and which content it
    /// names. What is encrypted stays so.
    ///
    /// # Errors
    /// What `judge` says; the file is damaged, or is no backup.
    pub(super) fn open<T>(
        path: &Path,
        judge: impl FnOnce(&[u8]) -> Result<(T, Payload), BackupError>,
    ) -> Result<(T, Self), BackupError> {
        Self::of(&mut Whole::open(path)?, judge)
    }

    /// The same of a file that is open, from its beginning to its end.
    pub(super) fn of<T>(
        whole: &mut Whole,
        judge: impl FnOnce(&[u8]) -> Result<(T, Payload), BackupError>,
    ) -> Result<(T, Self), BackupError> {
        let path = whole.path().to_owned();
        let failed = |error| BackupError::io("read", &path)(error);
        let file = whole.file().try_clone().map_err(failed)?;
        let identity = Identity::of(&file.metadata().map_err(failed)?);
        let mut found = Vec::new();
        whole.take(HEAD + BLOCK).read_to_end(&mut found).map_err(failed)?;
        let envelope = table_in(&found)?;
        let (table, payload) = judge(envelope)?;
        if head(envelope, &payload)? != found {
            return Err(BackupError::layout("what stands around its table of contents is not as Sealock writes it"));
        }
        let digest = Digest::sha256(envelope);
        check_payload(whole, &payload, identity.size)?;
        let interrupt = whole.interrupt().cloned();
        Ok((table, Self { path, file, payload, digest, identity, interrupt }))
    }

    /// The digest of its signed table of contents: what names it.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the file was before it was read.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The content, opened with `identities`: a tar.
    ///
    /// # Errors
    /// No identity opens it.
    pub(super) fn decrypted(&self, identities: &Identities) -> Result<impl Read + Send + use<>, BackupError> {
        let failed = |error| BackupError::io("read", &self.path)(error);
        let closed = |error| BackupError::Closed { said: in_words(&error) };
        let mut file = self.file.try_clone().map_err(failed)?;
        file.seek(SeekFrom::Start(HEAD + BLOCK)).map_err(failed)?;
        let watched = Watched { inner: file, interrupt: self.interrupt.clone() };
        let sealed = BufReader::with_capacity(AT_ONCE, watched.take(self.payload.size));
        let decryptor = Decryptor::new_buffered(sealed).map_err(closed)?;
        decryptor.decrypt(identities.iter()).map_err(closed)
    }
}

/// What stands in `whole` from the encrypted content on is what the table of contents says, in a file of `length` bytes.
fn check_payload(whole: &mut Whole, payload: &Payload, length: u64) -> Result<(), BackupError> {
    let Payload { digest, size } = payload;
    if *size > LARGEST {
        return Err(BackupError::Limit { what: "its content".into(), limit: LARGEST });
    }
    let wanted = HEAD + BLOCK + size + padding(*size) + END;
    if length != wanted {
        return Err(BackupError::Size { found: length, wanted });
    }
    let path = whole.path().to_owned();
    let failed = |error| BackupError::io("read", &path)(error);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; AT_ONCE];
    let mut content = (&mut *whole).take(*size);
    loop {
        match content.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    let found = hasher.finish();
    if found != *digest {
        return Err(BackupError::Digest { what: "its content".into(), found, wanted: digest.clone() });
    }
    let mut end = Vec::new();
    whole.take(padding(*size) + END + 1).read_to_end(&mut end).map_err(failed)?;
    if end.iter().any(|byte| *byte != 0) {
        return Err(BackupError::layout("something stands behind its content"));
    }
    Ok(())
}

/// Everything before the encrypted content.
fn head(envelope: &[u8], payload: &Payload) -> Result<Vec<u8>, BackupError> {
    let length = envelope.len() as u64;
    let table = BLOCK + length + padding(length);
    if table + BLOCK > HEAD {
        return Err(BackupError::Limit { what: "its table of contents".into(), limit: HEAD - 2 * BLOCK });
    }
    let mut head = header(TABLE, length)?;
    head.extend(envelope);
    head.resize(usize::try_from(table).unwrap_or_default(), 0);
    head.extend(header(PAD, HEAD - table - BLOCK)?);
    head.resize(usize::try_from(HEAD).unwrap_or_default(), 0);
    head.extend(header(&format!("{BLOBS}{}", payload.digest.hex()), payload.size)?);
    Ok(head)
}

/// The signed table of contents of the backup at `path`, as it stands there.
pub(super) fn table_of(path: &Path) -> Result<Vec<u8>, BackupError> {
    let failed = |error| BackupError::io("read", path)(error);
    let mut found = Vec::new();
    File::open(path).map_err(failed)?.take(HEAD + BLOCK).read_to_end(&mut found).map_err(failed)?;
    Ok(table_in(&found)?.to_vec())
}

/// Whether the file at `path` has its encrypted content where a backup has it, whatever stands before.
pub(super) fn is_laid_out(path: &Path) -> bool {
    let mut block = [0; BLOCK as usize];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut block, HEAD));
    let header = Header::from_byte_slice(&block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if SUM.contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    read.is_ok() && header.cksum().is_ok_and(|said| said == sum) && header.path_bytes().starts_with(BLOBS.as_bytes())
}

/// The table of contents in the first bytes of a file.
fn table_in(found: &[u8]) -> Result<&[u8], BackupError> {
    let block = usize::try_from(BLOCK).unwrap_or_default();
    let not_one = || BackupError::layout("it does not begin with a table of contents");
    let first = found.get(..block).ok_or_else(not_one)?;
    let first = Header::from_byte_slice(first);
    let length = first.size().map_err(|_| not_one())?;
    if *first.path_bytes() != *TABLE.as_bytes() || length > HEAD {
        return Err(not_one());
    }
    let length = usize::try_from(length).map_err(|_| not_one())?;
    found.get(block..block + length).ok_or_else(not_one)
}

fn header(name: &str, size: u64) -> Result<Vec<u8>, BackupError> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(|error| BackupError::layout(error.to_string()))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o444);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

/// What a content of `size` bytes lacks to fill whole blocks.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}
