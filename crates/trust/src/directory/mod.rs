//! The trust directory (`/var/lib/sealock/trust`): enrolled roots, what was accepted of each stream, the site root.
//!
//! State moves at acceptance only, in one durable write together with the receipt. Every file is replaced whole.

mod enrolment;
mod error;
mod streams;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use enrolment::{Enrolment, TrustedRoot};
pub use error::DirectoryError;

use crate::site::SiteRoot;
use crate::tuf::StreamState;
use crate::{Digest, StreamName, durable};

/// No file in here is near this long.
const MAX_FILE: u64 = 8 << 20;

const SITE_ROOT: &str = "site-root.json";

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
        for folder in [this.path.clone(), this.roots_folder(), this.streams_folder()] {
            fs::create_dir_all(&folder).map_err(DirectoryError::io("make", &folder))?;
        }
        Ok(this)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The site root, once there is one.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] and [`DirectoryError::SiteRoot`].
    pub fn site_root(&self) -> Result<Option<SiteRoot>, DirectoryError> {
        let bytes = self.read(&self.path.join(SITE_ROOT))?;
        bytes.map(|bytes| SiteRoot::open(&bytes)).transpose().map_err(DirectoryError::SiteRoot)
    }

    /// Keeps `root` as the site root: the first one, the same again, or the one that follows what is there.
    ///
    /// # Errors
    /// [`DirectoryError::SiteRoot`] for one that does not follow.
    pub fn keep_site_root(&self, root: &SiteRoot) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        if let Some(present) = self.site_root()? {
            if &present == root {
                return Ok(());
            }
            present.accept_next(root.as_bytes()).map_err(DirectoryError::SiteRoot)?;
        }
        self.replace(&self.path.join(SITE_ROOT), root.as_bytes())
    }

    fn roots_folder(&self) -> PathBuf {
        self.path.join("roots")
    }

    fn streams_folder(&self) -> PathBuf {
        self.path.join("streams")
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

    /// Held while something is read, judged and written again.
    fn lock(&self) -> Result<File, DirectoryError> {
        let path = self.path.join("lock");
        // Whoever can open the file can lock it, and keep everyone else waiting.
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(DirectoryError::io("lock", &path))?;
        file.lock().map_err(DirectoryError::io("lock", &path))?;
        Ok(file)
    }
}

/// What stands in a stream's file: the state and the receipt that was given for it, in one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was accepted.
    pub state: StreamState,
    /// The signed receipt, byte for byte.
    pub receipt: Vec<u8>,
}

/// One stream that has been accepted from: where its state is found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StreamKey<'a> {
    root: &'a Digest,
    stream: &'a StreamName,
}
