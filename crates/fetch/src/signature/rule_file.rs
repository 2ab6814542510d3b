//! The files that rules name: keys, certificates, trusted roots.

use std::fs;
use std::path::Path;

use crate::error::FetchError;

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, doing: &'static str, limit: u64) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::io(doing, path, source);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > limit {
        let reason = format!("it has {length} bytes, and at most {limit} are read");
        return Err(FetchError::RuleFile { path: path.to_owned(), reason });
    }
    fs::read(path).map_err(failed)
}
