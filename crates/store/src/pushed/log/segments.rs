//! The files of the log: each is named after the number of its first record.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, StoreError};

const DIGITS: usize = 20;

/// `<folder>/00000000000000000001.log`
pub(crate) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:0DIGITS$}.log"))
}

/// The first record's number of each segment, in order.
pub(crate) fn segments(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).during("read", folder)? {
        let path = entry.during("read", folder)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
        let number = name.filter(|name| name.len() == DIGITS).and_then(|name| name.parse().ok());
        match number {
            Some(number) => found.push(number),
            None => return Err(StoreError::Foreign { path }),
        }
    }
    found.sort_unstable();
    Ok(found)
}
