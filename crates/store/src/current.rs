//! The pointer to the current release.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

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
    // A pipe in its place is waited for by nobody.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).during("open", path)?;
    let file = File::from(file);
    if !file.metadata().during("look at", path)?.is_file() {
        return Err(StoreError::ReleaseFormat { path: path.to_owned(), problem: "it is no regular file".into() });
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_RELEASE + 1).read_to_end(&mut bytes).during("read", path)?;
    if bytes.len() as u64 > LONGEST_RELEASE {
        let problem = format!("it is longer than {LONGEST_RELEASE} bytes");
        return Err(StoreError::ReleaseFormat { path: path.to_owned(), problem });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_pipe_in_the_place_of_a_release_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RWXU).unwrap();
        assert!(matches!(read_bounded(&path).unwrap_err(), StoreError::ReleaseFormat { .. }));
    }

    #[test]
    fn attack_a_store_whose_format_never_ends_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let format = folder.path().join("format");
        std::os::unix::fs::symlink("/dev/zero", &format).unwrap();
        assert!(matches!(crate::Store::open(folder.path()).unwrap_err(), StoreError::Foreign { .. }));
        fs::remove_file(&format).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &format, Mode::RWXU).unwrap();
        assert!(matches!(crate::Store::open(folder.path()).unwrap_err(), StoreError::Foreign { .. }));
        fs::remove_file(&format).unwrap();
        fs::write(&format, vec![b'x'; 1 << 20]).unwrap();
        assert!(matches!(crate::Store::open(folder.path()).unwrap_err(), StoreError::Foreign { .. }));
    }
}
