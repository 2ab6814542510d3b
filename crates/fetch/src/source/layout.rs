//! OCI image layouts (image specification 1.1, "OCI Image Layout Specification"), written for programs that read these.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use serde_json::{Value, json};

use super::oci::Fetched;
use crate::error::FetchError;

/// A folder that becomes a layout.
pub(crate) struct Layout<'a>(pub(crate) &'a Path);

impl Layout<'_> {
    /// Where a blob lies; the folder is made.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<PathBuf, FetchError> {
        let folder = self.0.join("blobs").join(digest.algorithm().as_str());
        fs::create_dir_all(&folder).map_err(|source| FetchError::io("make", &folder, source))?;
        Ok(folder.join(digest.hex()))
    }

    /// Writes these manifests, and the index that lists them: whoever looks for one that refers to another finds it there.
    pub(crate) fn finish(&self, manifests: &[&Fetched]) -> Result<(), FetchError> {
        for manifest in manifests {
            write(&self.blob(&manifest.digest)?, &manifest.bytes)?;
        }
        let listed: Vec<Value> = manifests.iter().map(|manifest| manifest.descriptor()).collect();
        let index = json!({"schemaVersion": 2, "manifests": listed}).to_string();
        write(&self.0.join("index.json"), index.as_bytes())?;
        write(&self.0.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

/// Writes a file of a layout.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    fs::write(path, bytes).map_err(|source| FetchError::io("write", path, source))
}
