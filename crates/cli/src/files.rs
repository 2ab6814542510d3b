//! Files the command itself writes and reads, with the path in every error.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sealock_trust::durable;
use zeroize::Zeroizing;

use crate::error::{CommandError, Result};

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("reading {}", path.display()));
    bounded(fs::File::open(path).map_err(failed)?, path, limit)
}

fn bounded(file: fs::File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("reading {}", path.display()));
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let problem = format!("{} is larger than the {limit} bytes that it may have", path.display());
        return Err(CommandError::failed(problem));
    }
    Ok(bytes)
}

/// The same of what was carried here: a regular file, and nothing that is waited for, like a pipe on a medium that others have written.
///
/// # Errors
/// As [`read`]; it is something else.
pub fn read_carried(path: &Path, limit: u64) -> Result<Vec<u8>> {
    bounded(open_regular(path)?, path, limit)
}

/// A site root that was carried here.
///
/// # Errors
/// As [`read_carried`].
pub fn read_site_root(path: &Path) -> Result<Vec<u8>> {
    /// No site root is near this long.
    const LIMIT: u64 = 1 << 20;
    read_carried(path, LIMIT)
}

/// Opens a regular file. A pipe is not waited for.
///
/// # Errors
/// It cannot be opened, or is something else.
fn open_regular(path: &Path) -> Result<fs::File> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("reading {}", path.display()));
    let without_waiting = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = fs::OpenOptions::new().read(true).custom_flags(without_waiting).open(path).map_err(failed)?;
    match file.metadata().map_err(failed)?.is_file() {
        true => Ok(file),
        false => Err(CommandError::failed(format!("{} is no regular file", path.display()))),
    }
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

/// Makes a new file, and fills it with what `make` answers: nothing is made that could not be written down, and of what was not made no file
/// stays.
///
/// # Errors
/// It exists, or cannot be written; what `make` says.
pub fn create_from<T>(path: &Path, mode: u32, make: impl FnOnce() -> Result<(T, Zeroizing<Vec<u8>>)>) -> Result<T> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("writing {}", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    let made = make().and_then(|(made, bytes)| {
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(made)
    });
    if made.is_err() {
        // What went wrong before counts for more.
        let _ = fs::remove_file(path);
    }
    made
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_first_and_gone_where_nothing_was_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("join.json");
        let refused: Result<()> = create_from(&path, 0o600, || {
            assert!(path.exists());
            Err(CommandError::failed("no"))
        });
        assert!(refused.is_err() && !path.exists());
        create_from(&path, 0o600, || Ok(((), Zeroizing::new(b"a token".to_vec())))).expect("a file");
        assert_eq!(fs::read(&path).expect("the file"), b"a token");
        let again: Result<()> = create_from(&path, 0o600, || panic!("nothing is made"));
        assert!(again.is_err() && path.exists());
    }

    #[test]
    fn attack_a_pipe_that_is_carried_in_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site-root.json");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a pipe");
        let refused = read_carried(&path, 1 << 20).expect_err("nothing comes out of it");
        assert!(refused.chain().join(" ").contains("is no regular file"));
        assert!(read_carried(folder.path(), 1 << 20).is_err(), "a folder");
        fs::write(folder.path().join("file"), b"a site root").expect("a file");
        assert_eq!(read_carried(&folder.path().join("file"), 11).expect("the file"), b"a site root");
        assert!(read_carried(&folder.path().join("file"), 10).is_err(), "it is longer");
    }
}
