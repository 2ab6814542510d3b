//! The trust directory (`/var/lib/sealock/trust`): enrolled roots, what was accepted of each stream, the site root.
//!
//! All that changes stands in one sealed file, `state.json`, which is replaced whole: state moves in one durable write,
//! together with the receipt for it. Roots and revocation lists lie beside it, and the state names them by digest.

mod enrolment;
mod error;
pub mod mirror;
mod revocations;
mod site;
mod state;
mod streams;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use enrolment::{Candidate, Enrolment, TrustedRoot};
pub use error::DirectoryError;
pub use mirror::{Mirror, Resolution};
pub use revocations::{KeptList, Revoked, Standing};
pub use streams::Accepted;

use crate::durable;

/// No file in here is near this long.
const MAX_FILE: u64 = 32 << 20;

/// The trust directory. Readers take no lock, since every file is replaced whole; writers take turns.
#[derive(Debug)]
pub struct TrustDirectory {
    path: PathBuf,
}

impl TrustDirectory {
    /// Opens the directory at `path`, making what is missing.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let this = Self { path: path.to_owned() };
        for folder in [this.path.clone(), this.roots_folder()] {
            fs::create_dir_all(&folder).map_err(DirectoryError::io("make", &folder))?;
        }
        Ok(this)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn roots_folder(&self) -> PathBuf {
        self.path.join("roots")
    }

    /// The content of a file, or `None` if there is none.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, DirectoryError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DirectoryError::io("read", path)(error)),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DirectoryError> {
        durable::replace(path, bytes).map_err(DirectoryError::io("write", path))
    }

    /// Writes a file into a folder that may have to be made first.
    fn replace_in(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
        fs::create_dir_all(folder).map_err(DirectoryError::io("make", folder))?;
        durable::sync_parent(folder).map_err(DirectoryError::io("make", folder))?;
        self.replace(&folder.join(name), bytes)
    }

    /// Held while something is read, judged and written again, or copied: until what is returned is dropped, nobody else changes anything.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn lock(&self) -> Result<File, DirectoryError> {
        let path = self.path.join("lock");
        // Whoever can open the file can lock it, and keep everyone else waiting.
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(DirectoryError::io("lock", &path))?;
        file.lock().map_err(DirectoryError::io("lock", &path))?;
        Ok(file)
    }
}
