//! The store as its readers see it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::statvfs;
use sealock_trust::Digest;
use sealock_trust::format;

use crate::blob::{Blob, Place, open_file, read_file, size_of_file};
use crate::durable::{ensure_folder, replace_file};
use crate::error::{IoContext, StoreError};
use crate::layout::{ALGORITHMS, FORMAT, Layout};
use crate::lent::Lenders;
use crate::lock::StoreLock;
use crate::{operations, reserve};

/// What says that a folder is a store is one line, far shorter than this; in bytes.
const LONGEST_FORMAT: u64 = 4096;

/// All accepted blobs of a site, and the releases that select from them.
///
/// Reading needs no lock: blobs and releases never change once they can be seen. A blob is a file of its own, or, until it is
/// migrated, a part of a bundle that was taken in ([`crate::lent`]): readers see no difference.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    /// What the bundles lend that were taken in, as far as it was looked at.
    pub(crate) lenders: Arc<Lenders>,
}

impl Store {
    /// Makes an empty store in `path`, which must be empty or absent, or opens the store that is there already.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] where the folder holds something else.
    pub fn init(path: &Path) -> Result<Self, StoreError> {
        let layout = Layout { root: path.to_owned() };
        if layout.format().exists() {
            return Self::open(path);
        }
        refuse_foreign_folder(&layout)?;
        make_folders(&layout)?;
        // Last, so that a store that says its format is whole.
        replace_file(&layout.format(), format!("{FORMAT}\n").as_bytes(), 0o444)?;
        reserve::make(&layout);
        Self::open(path)
    }

    /// Opens the store in `path`.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::UnknownFormat`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let layout = Layout { root: path.to_owned() };
        let file = layout.format();
        let not_a_store = || StoreError::NotAStore { path: path.to_owned() };
        let found = read_file(&file, LONGEST_FORMAT)?.ok_or_else(not_a_store)?;
        let found = String::from_utf8_lossy(&found);
        let unknown = |source| StoreError::UnknownFormat { path: path.to_owned(), source };
        format::STORE.check(found.trim_end()).map_err(unknown)?;
        Ok(Self { layout, lenders: Arc::default() })
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.layout.root
    }

    /// Where the blob `digest` stands in a file of its own, if it does: one that a bundle lends does not, until it is migrated.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout.blob(digest)
    }

    /// Whether the blob `digest` is in the store.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where something that is not a regular file has its place.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.blob_size(digest)?.is_some())
    }

    /// The size in bytes of the blob `digest`, if it is in the store.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where something that is not a regular file has its place.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.place(digest)?.map(|place| place.size))
    }

    /// Opens the blob `digest` for reading, if it is in the store.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where something that is not a regular file has its place.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let open_own = || {
            let path = self.blob_path(digest);
            Ok::<_, StoreError>(open_file(&path)?.map(|(file, size)| Blob::whole(file, path, size)))
        };
        self.own_or_lent(open_own, || self.lenders.open(&self.layout, digest))
    }

    /// Where the bytes of the blob `digest` stand, if it is in the store.
    pub(crate) fn place(&self, digest: &Digest) -> Result<Option<Place>, StoreError> {
        let own = || {
            let path = self.blob_path(digest);
            let place = |size| Place { path: path.clone(), start: 0, size, lender: None };
            Ok::<_, StoreError>(size_of_file(&path)?.map(place))
        };
        self.own_or_lent(own, || self.lenders.place(&self.layout, digest))
    }

    /// A file of its own comes before what a bundle lends. What was no file at the first look, and is lent no more at the
    /// second, was migrated between the two, or is not there.
    fn own_or_lent<T>(
        &self,
        own: impl Fn() -> Result<Option<T>, StoreError>,
        lent: impl FnOnce() -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if let Some(found) = own()? {
            return Ok(Some(found));
        }
        match lent()? {
            Some(found) => Ok(Some(found)),
            None => own(),
        }
    }

    /// The bytes that an unprivileged writer can still put on the filesystem of the store.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let status = statvfs(self.path()).during("read the free space of", self.path())?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    /// Whether this process may write here at all: a server of a user that only reads takes no pushes.
    pub fn is_writable(&self) -> bool {
        rustix::fs::access(self.path(), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
    }

    /// Takes the lock that every writer needs. It is released when the value is dropped, or its process ends.
    ///
    /// # Errors
    /// [`StoreError::Locked`] at once where another process holds it.
    pub fn lock(&self) -> Result<StoreLock, StoreError> {
        StoreLock::take(self)
    }

    /// Tells of every blob, and of its size in bytes, in no order. What bears no digest for a name, or is no regular file, is
    /// passed over.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn each_blob(&self, tell: &mut dyn FnMut(Digest, u64)) -> Result<(), StoreError> {
        // Looked at first: what is migrated meanwhile is told of once, and not passed over.
        let mut lent = self.lenders.known(&self.layout)?.blobs();
        for algorithm in ALGORITHMS {
            let folder = self.layout.blobs().join(algorithm.as_str());
            for entry in fs::read_dir(&folder).during("read", &folder)? {
                let entry = entry.during("read", &folder)?;
                let name = entry.file_name();
                let digest = name.to_str().and_then(|hex| format!("{}:{hex}", algorithm.as_str()).parse().ok());
                let size = match size_of_file(&entry.path()) {
                    Err(StoreError::Foreign { .. }) => None,
                    result => result?,
                };
                // One that has gone meanwhile has no size.
                if let (Some(digest), Some(size)) = (digest, size) {
                    lent.remove(&digest);
                    tell(digest, size);
                }
            }
        }
        lent.into_iter().for_each(|(digest, size)| tell(digest, size));
        Ok(())
    }

    /// The numbers of the release files that there are, in no order; not all need be published.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn release_numbers(&self) -> Result<Vec<u64>, StoreError> {
        let folder = self.layout.releases();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder).during("read", &folder)? {
            let name = entry.during("read", &folder)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    /// Gives every record of the operation log to `hear`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`].
    pub(crate) fn each_operation(&self, hear: impl FnMut(operations::Record)) -> Result<(), StoreError> {
        operations::each(&self.layout.operations(), hear)
    }

    /// Every record of the operation log, oldest first.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`].
    pub fn operations(&self) -> Result<Vec<operations::Record>, StoreError> {
        operations::read(&self.layout.operations())
    }
}

/// An interrupted `init` may have left folders; anything else is not ours to write into.
fn refuse_foreign_folder(layout: &Layout) -> Result<(), StoreError> {
    let ours = [layout.blobs(), layout.stagings(), layout.releases(), layout.holds()];
    let entries = match fs::read_dir(&layout.root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.during("read", &layout.root)?,
    };
    for entry in entries {
        let path = entry.during("read", &layout.root)?.path();
        let unfinished = ours.contains(&path) || path.extension().is_some_and(|end| end == "tmp");
        if !unfinished {
            return Err(StoreError::NotEmpty { path: layout.root.clone() });
        }
    }
    Ok(())
}

fn make_folders(layout: &Layout) -> Result<(), StoreError> {
    if let Some(parent) = layout.root.parent() {
        fs::create_dir_all(parent).during("make the folder", parent)?;
    }
    ensure_folder(&layout.root, 0o755)?;
    ensure_folder(&layout.blobs(), 0o755)?;
    for algorithm in ALGORITHMS {
        ensure_folder(&layout.blobs().join(algorithm.as_str()), 0o755)?;
    }
    ensure_folder(&layout.releases(), 0o755)?;
    // Nobody but the store's owner may see what has arrived but is not yet believed.
    ensure_folder(&layout.stagings(), 0o700)?;
    ensure_folder(&layout.holds(), 0o700)
}
