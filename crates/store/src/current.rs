//! The pointer to the current release.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{IoContext, StoreError};
use crate::layout::Layout;

/// No release file is longer than this; in bytes. About 250 000 references.
const LONGEST_RELEASE: u64 = 64 << 20;

/// What `current` points to; none before the first release.
pub(crate) fn current_number(layout: &Layout) -> Result<Option<u64>, StoreError> {
    let path = layout.current();
    let target = match fs::read_link(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(StoreError::Foreign { path }),
        result => result.during("read", &path)?,
    };
    let number =
        target.to_str().and_then(|target| target.strip_prefix("releases/")?.strip_suffix(".json")?.parse().ok());
    match number {
        Some(number) if target == release_link(number) && number > 0 => Ok(Some(number)),
        _ => Err(StoreError::BadCurrent { path, target: target.to_string_lossy().into_owned() }),
    }
}

/// What the link `current` says: relative, so that a store can be moved.
pub(crate) fn release_link(number: u64) -> PathBuf {
    PathBuf::from(format!("releases/{number}.json"))
}

/// The bytes of the release file at `path`.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, StoreError> {
    let file = File::open(path).during("open", path)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_RELEASE + 1).read_to_end(&mut bytes).during("read", path)?;
    if bytes.len() as u64 > LONGEST_RELEASE {
        let problem = format!("it is longer than {LONGEST_RELEASE} bytes");
        return Err(StoreError::ReleaseFormat { path: path.to_owned(), problem });
    }
    Ok(bytes)
}
