//! Reads single small blobs of a bundle: what is shown to a person, or compared, without streaming all of it.

use sealock_trust::Digest;

use super::{Archive, ArchiveError};
use crate::manifest::Blob;

impl Archive {
    /// The content of `blob` of this archive's manifest, if it is carried and has at most `limit` bytes.
    ///
    /// The content has the digest, and that is all that is known of it, unless the bundle was verified: it may be shown, and
    /// nothing else.
    ///
    /// # Errors
    /// When the file cannot be read, ends before, or holds something else there.
    pub fn small_blob(&self, blob: &Blob, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(offset) = blob.offset.filter(|_| blob.size <= limit) else { return Ok(None) };
        let position = self.header_size().saturating_add(offset);
        let end = position.saturating_add(blob.size);
        // Before memory is taken: the size is the manifest's word.
        if end > self.length() {
            return Err(ArchiveError::Truncated { actual: self.length(), expected: end });
        }
        let mut content = vec![0; usize::try_from(blob.size).unwrap_or(0)];
        self.medium.read(&mut content, position)?;
        let actual = Digest::of(blob.digest.algorithm(), &content);
        if actual != blob.digest {
            return Err(ArchiveError::WrongDigest { expected: blob.digest.clone(), actual });
        }
        Ok(Some(content))
    }
}
