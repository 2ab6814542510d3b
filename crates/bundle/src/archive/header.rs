//! Reads the header of a bundle: every byte of it is judged, before any of it is believed.

use std::cmp::Ordering;
use std::io::{self, Read};
use std::path::Path;

use sealock_trust::RoleName;

use super::entry::{self, Entry};
use super::error::ArchiveError;
use super::layout::{HEADER_UNIT, MAX_REVOCATIONS, MetadataFiles, OCI_LAYOUT, name};
use super::{IoContext, tar};

/// Bytes of `index.json` and of `manifest.json` at most.
const MAX_TABLE: u64 = 24 << 20;
/// Bytes of one metadata file at most.
const MAX_METADATA: u64 = 1 << 20;
/// Bytes of all metadata files at most.
const MAX_ALL_METADATA: u64 = 16 << 20;
/// Metadata files at most: a long chain of roots.
const MAX_METADATA_FILES: usize = 1024;
/// Bytes of padding at most: more than the room that the greatest number of keys may claim.
const MAX_PAD: u64 = 8 << 20;

/// What stands in the header, in canonical form, but with nothing said about its truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawHeader {
    /// P: where the header ends, in bytes.
    pub(super) size: u64,
    pub(super) index: Vec<u8>,
    pub(super) metadata: MetadataFiles,
    pub(super) manifest: Vec<u8>,
    pub(super) revocations: Option<Vec<u8>>,
}

/// Reads the header from the beginning of `file`, which has `length` bytes.
pub(super) fn read(file: impl Read, path: &Path, length: u64) -> Result<RawHeader, ArchiveError> {
    let mut reader = HeaderReader { file, path, length, position: 0, seen: Vec::new() };
    let layout = reader.expect(name::OCI_LAYOUT, MAX_METADATA)?;
    if layout != OCI_LAYOUT {
        let problem = "this is no OCI image layout of version 1.0.0".to_owned();
        return Err(ArchiveError::Damaged { offset: tar::BLOCK, problem });
    }
    let index = reader.expect(name::INDEX, MAX_TABLE)?;
    let (metadata, manifest) = reader.metadata_and_manifest()?;
    let revocations = reader.revocations_and_pad()?;
    Ok(RawHeader { size: reader.position, index, metadata, manifest, revocations })
}

struct HeaderReader<'a, R> {
    file: R,
    path: &'a Path,
    length: u64,
    position: u64,
    seen: Vec<String>,
}

impl<R: Read> HeaderReader<'_, R> {
    fn expect(&mut self, name: &'static str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let (entry, offset) = self.entry()?;
        if entry.name != name {
            return Err(self.misplaced(entry.name, offset, name));
        }
        self.content(name, entry.size, limit)
    }

    fn metadata_and_manifest(&mut self) -> Result<(MetadataFiles, Vec<u8>), ArchiveError> {
        let mut files = MetadataFiles::new();
        let mut total = 0;
        loop {
            let (entry, offset) = self.entry()?;
            if entry.name == name::MANIFEST {
                let manifest = self.content("manifest.json", entry.size, MAX_TABLE)?;
                return Ok((files, manifest));
            }
            let Some(file) = entry.name.strip_prefix(name::METADATA).filter(|file| is_metadata(file)) else {
                return Err(self.misplaced(entry.name, offset, name::MANIFEST));
            };
            if files.last().is_some_and(|(last, _)| metadata_order(last, file) != Ordering::Less) {
                return Err(self.misplaced(entry.name.clone(), offset, "metadata in order"));
            }
            total += entry.size;
            if files.len() >= MAX_METADATA_FILES || total > MAX_ALL_METADATA {
                return Err(ArchiveError::Limit { what: "bytes of metadata", limit: MAX_ALL_METADATA });
            }
            let content = self.content("bytes of one metadata file", entry.size, MAX_METADATA)?;
            files.push((file.to_owned(), content));
        }
    }

    fn revocations_and_pad(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        let (mut entry, mut offset) = self.entry()?;
        let mut revocations = None;
        if entry.name == name::REVOCATIONS {
            revocations = Some(self.content("bytes of the revocation list", entry.size, MAX_REVOCATIONS)?);
            (entry, offset) = self.entry()?;
        }
        self.pad(entry, offset)?;
        Ok(revocations)
    }

    fn pad(&mut self, entry: Entry, offset: u64) -> Result<(), ArchiveError> {
        if entry.name != name::PAD {
            return Err(self.misplaced(entry.name, offset, name::PAD));
        }
        let start = self.position;
        let padding = self.content("bytes of padding", entry.size, MAX_PAD)?;
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            return Err(self.damaged(start + at as u64, "the padding of the header is not empty"));
        }
        if !self.position.is_multiple_of(HEADER_UNIT) {
            return Err(self.damaged(offset, "the header does not end at a multiple of 1 MiB"));
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<(Entry, u64), ArchiveError> {
        let offset = self.position;
        let mut block = [0; 512];
        self.fill(&mut block)?;
        let entry = entry::parse(&block, offset)?;
        let twin = self.seen.iter().find(|seen| seen.eq_ignore_ascii_case(&entry.name));
        match twin {
            Some(seen) if *seen == entry.name => {
                let problem = format!("the entry {seen:?} stands here a second time");
                Err(ArchiveError::Ambiguous { offset, problem })
            }
            Some(_) => Err(ArchiveError::HostileName { name: entry.name, offset }),
            None => {
                self.seen.push(entry.name.clone());
                Ok((entry, offset))
            }
        }
    }

    /// Content, and the padding behind it.
    fn content(&mut self, what: &'static str, size: u64, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > limit {
            return Err(ArchiveError::Limit { what, limit });
        }
        // Checked before memory is taken: the size is somebody's word until the bytes are there.
        if size > self.length.saturating_sub(self.position) {
            return Err(ArchiveError::Truncated { actual: self.length, expected: self.position + size });
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.fill(&mut content)?;
        let mut padding = [0; 512];
        let padding = &mut padding[..usize::try_from(tar::padding(size)).unwrap_or(0)];
        let start = self.position;
        self.fill(padding)?;
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            return Err(self.damaged(start + at as u64, "the padding behind an entry is not empty"));
        }
        Ok(content)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        match self.file.read_exact(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let expected = self.position + buffer.len() as u64;
                return Err(ArchiveError::Truncated { actual: self.length, expected });
            }
            result => result.during("read", self.path)?,
        }
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn misplaced(&self, found: String, offset: u64, expected: &str) -> ArchiveError {
        let is_ours = [name::OCI_LAYOUT, name::INDEX, name::MANIFEST, name::REVOCATIONS, name::PAD]
            .contains(&found.as_str())
            || found.strip_prefix(name::METADATA).is_some_and(is_metadata)
            || found.starts_with("blobs/");
        if is_ours {
            let problem = format!("the entry {found:?} stands where {expected:?} belongs");
            return ArchiveError::Ambiguous { offset, problem };
        }
        ArchiveError::Undeclared { name: found, offset }
    }

    fn damaged(&self, offset: u64, problem: &str) -> ArchiveError {
        ArchiveError::Damaged { offset, problem: problem.to_owned() }
    }
}

/// Whether `file` is a metadata file of one of TUF's four top-level roles or of a vendor, under the one name it may have.
fn is_metadata(file: &str) -> bool {
    let is_role = |role: &str| role.parse::<RoleName>().is_ok();
    matches!(file, "snapshot.json" | "targets.json" | "timestamp.json")
        || root_version(file).is_some()
        || file.strip_suffix(".json").is_some_and(is_role)
}

/// `N` of `N.root.json`, N written without leading zeros.
fn root_version(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".root.json")?;
    let version = digits.parse().ok()?;
    (version > 0 && digits == u64::to_string(&version)).then_some(version)
}

/// Roots by version, then the others by name.
pub(super) fn metadata_order(a: &str, b: &str) -> Ordering {
    match (root_version(a), root_version(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}
