//! Opens a bundle file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use sealock_trust::Digest;

use super::header::{self, RawHeader};
use super::layout::{self, HeaderParts, MetadataFiles, Slot};
use super::{ArchiveError, Medium};
use crate::index;
use crate::manifest::Manifest;

/// A bundle whose header is well-formed, in one file or in volumes. Nothing in it is believed yet: that is for [`crate::verify`].
#[derive(Clone, Debug)]
pub struct Archive {
    pub(super) medium: Medium,
    header: RawHeader,
}

impl Archive {
    /// Opens the file `path` and reads its header, and nothing else: the time does not depend on the size.
    ///
    /// # Errors
    /// With a reason code where the header is not exactly what a bundle has.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::read(Medium::open(path)?)
    }

    /// Reads the header from `medium`.
    pub(crate) fn read(medium: Medium) -> Result<Self, ArchiveError> {
        let reader = BufReader::with_capacity(1 << 20, medium.reader());
        let header = header::read(reader, medium.path(), medium.length())?;
        Ok(Self { medium, header })
    }

    /// The file, or the first of the volumes.
    pub fn path(&self) -> &Path {
        self.medium.path()
    }

    /// The file that it is, and where that was opened; none in volumes.
    pub(crate) fn only_file(&self) -> Option<(Arc<File>, &Path)> {
        self.medium.only_file()
    }

    /// Bytes of the bundle.
    pub fn length(&self) -> u64 {
        self.medium.length()
    }

    /// Where the bytes are read from.
    pub(crate) fn medium(&self) -> &Medium {
        &self.medium
    }

    /// Bytes of the header: where the payload begins.
    pub fn header_size(&self) -> u64 {
        self.header.size
    }

    /// The content of `manifest.json`, as it stands there.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.header.manifest
    }

    /// The digest of `manifest.json`, which names the bundle.
    pub fn manifest_digest(&self) -> Digest {
        Digest::sha256(&self.header.manifest)
    }

    /// The files of the trust metadata: name and content, roots first. None in a bundle that nobody has signed yet.
    pub fn metadata(&self) -> &[(String, Vec<u8>)] {
        &self.header.metadata
    }

    /// The publisher's revocation list that travels along, as it stands there.
    pub fn revocations(&self) -> Option<&[u8]> {
        self.header.revocations.as_deref()
    }

    /// What the manifest says, unverified: for showing it to a person, who is told so, and for choosing the root.
    ///
    /// # Errors
    /// When it is no manifest.
    pub fn unverified_manifest(&self) -> Result<Manifest, ArchiveError> {
        Ok(Manifest::from_bytes(&self.header.manifest)?)
    }

    /// Checks that header and length of the file are the ones that follow from `manifest`, and no others.
    pub(crate) fn check_frame(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let index = index::of(manifest).map_err(|_| ArchiveError::Index)?;
        if index != self.header.index {
            return Err(ArchiveError::Index);
        }
        let size = self.parts(&index, &self.header.metadata, manifest).size();
        if size != self.header.size {
            let problem = format!("the header has {} bytes, and must have {size}", self.header.size);
            return Err(ArchiveError::Damaged { offset: 0, problem });
        }
        let expected = size + layout::slots_of(manifest).last().map_or(0, Slot::end) + layout::END;
        match self.length() {
            actual if actual < expected => Err(ArchiveError::Truncated { actual, expected }),
            actual if actual > expected => Err(ArchiveError::Trailing { actual, expected }),
            _ => Ok(()),
        }
    }

    /// The header of this bundle with other metadata.
    pub(crate) fn header_with(&self, metadata: &MetadataFiles, manifest: &Manifest) -> Result<Vec<u8>, ArchiveError> {
        Ok(self.parts(&self.header.index, metadata, manifest).to_bytes()?)
    }

    fn parts<'a>(&'a self, index: &'a [u8], metadata: &'a MetadataFiles, manifest: &Manifest) -> HeaderParts<'a> {
        HeaderParts {
            index,
            metadata,
            manifest: &self.header.manifest,
            revocations: self.revocations(),
            publisher_keys: manifest.publisher_keys,
            vendor_room: manifest.vendor_room(),
        }
    }
}
