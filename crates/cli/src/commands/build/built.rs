//! What was built from a lock: `sealock.built` beside it, committed with it, so that the next lock takes the next sequence;
//! and `sealock.manifests/`, committed too, with the manifest of each bundle, so that deltas can build on it.

use std::path::{Path, PathBuf};

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Result};
use crate::files;

/// No lock is near this long.
pub const MAX_LOCK: u64 = 64 << 20;

/// A bundle that was built and signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    pub stream: String,
    pub sequence: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// The record beside the lock at `lock`.
pub fn path(lock: &Path) -> PathBuf {
    lock.with_extension("built")
}

/// The folder of manifests beside the lock at `lock`: `<hex>.json`, named by their digests.
pub fn manifests(lock: &Path) -> PathBuf {
    lock.with_extension("manifests")
}

/// Keeps the content of a `manifest.json`.
pub fn keep_manifest(lock: &Path, bytes: &[u8]) -> Result<()> {
    let folder = manifests(lock);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.json", Digest::sha256(bytes).hex()));
    if path.exists() { Ok(()) } else { files::replace(&path, bytes) }
}

/// The newest bundle of `stream` in the record.
pub fn last(path: &Path, stream: &str) -> Result<Option<Built>> {
    let of_stream = read(path)?.into_iter().filter(|built| built.stream == stream);
    Ok(of_stream.max_by_key(|built| built.sequence))
}

/// Adds `built`; what stands there already is not added again.
pub fn record(path: &Path, built: &Built) -> Result<()> {
    let mut all = read(path)?;
    if all.contains(built) {
        return Ok(());
    }
    all.push(built.clone());
    let mut text = String::new();
    for built in &all {
        text.push_str(&serde_json::to_string(built).map_err(std::io::Error::from)?);
        text.push('\n');
    }
    files::replace(path, text.as_bytes())
}

/// One JSON object per line: what git merges well.
fn read(path: &Path) -> Result<Vec<Built>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = files::read_text(path)?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| CommandError::failed(format!("{}:{}: {error}", path.display(), number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bundle_of_the_stream_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(&folder.path().join("sealock.lock"));
        assert_eq!(last(&path, "base").expect("readable"), None);
        let built = |stream: &str, sequence| Built {
            stream: stream.into(),
            sequence,
            manifest: Digest::sha256(stream.as_bytes()),
        };
        for one in [built("base", 2), built("base", 1), built("apps", 9), built("base", 2)] {
            record(&path, &one).expect("writable");
        }
        assert_eq!(last(&path, "base").expect("readable"), Some(built("base", 2)));
        assert_eq!(read(&path).expect("readable").len(), 3);
    }
}
