//! Files the command itself writes and reads, with the path in every error.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sealock_trust::durable;

use crate::error::{CommandError, Result};

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("reading {}", path.display()));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let problem = format!("{} is larger than the {limit} bytes that it may have", path.display());
        return Err(CommandError::failed(problem));
    }
    Ok(bytes)
}

/// Reads a text file of at most 4 MiB.
///
/// # Errors
/// It cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read(path, 4 << 20)?;
    String::from_utf8(bytes).map_err(|_| CommandError::failed(format!("{} is not UTF-8 text", path.display())))
}

/// Writes a new file; an existing one is left alone.
///
/// # Errors
/// It exists, or cannot be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("writing {}", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Replaces a file as a whole: whoever reads it sees the old content or the new one.
///
/// # Errors
/// It cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("writing {}", path.display()));
    // Its temporary file has a fixed name: what a kill has left is used up the next time.
    durable::replace(path, bytes).map_err(failed)
}
