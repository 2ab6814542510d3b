//! Pushed content: what scoped principals bring to the registry, beside the releases that imports publish
//! (docs/decisions/0018-pushed-content.md, docs/formats/pushed-log.md).
//!
//! Blobs stand among those of releases. All else is a record in a log of its own, written by one process and one thread; the
//! index and the [`Snapshot`] that requests read are derived from it. What a call returned is durable.

mod change;
mod error;
mod hash;
mod index;
mod lock;
mod log;
mod moment;
mod open;
mod overlay;
mod place;
mod rebuild;
mod record;
mod rows;
mod snapshot;
mod uploads;
mod verify;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use sealock_trust::{Algorithm, Digest};

pub use change::{Demands, PutManifest};
pub use error::PushError;
pub use moment::Moment;
pub(crate) use place::put;
pub use rebuild::{IndexCondition, Rebuilt};
pub use record::{Operation, Record, Verdict};
pub use rows::{Entry, Tag};
pub use snapshot::{Held, Lost, Repository, Snapshot};
pub use uploads::{Append, UploadId};

use crate::durable::ensure_folder;
use crate::error::{IoContext, StoreError};
use crate::gc::Guard;
use crate::store::Store;
use change::Change;
use lock::PushedLock;
use log::Log;
use uploads::{Bounds, Uploads};
use writer::{Desk, Writer};

/// For a server to see that a connection was cut, and to make durable what came.
const CUT: Duration = Duration::from_secs(3);

/// Bounds of what pushing can take.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Uploads that are open at a time.
    pub uploads: usize,
    /// The longest blob, in bytes.
    pub longest_blob: u64,
    /// What an upload leaves free on the disk, in bytes: logs and releases need it.
    pub headroom: u64,
    /// Without a byte for so long, an upload is given up.
    pub upload_life: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { uploads: 4096, longest_blob: 1 << 40, headroom: 64 << 20, upload_life: SignedDuration::from_hours(24) }
    }
}

/// Pushed content, open for writing.
///
/// All calls block, and may come from any thread. [`Pushed::snapshot`] never waits.
#[derive(Debug)]
pub struct Pushed {
    store: Store,
    published: Arc<ArcSwap<Snapshot>>,
    uploads: Uploads,
    guard: Arc<Guard>,
    // Ends before the lock is given back.
    writer: Writer,
    lock: PushedLock,
}

impl Pushed {
    /// Opens the pushed content of `store`: takes the lock, raises the epoch, and brings the index up to the log. What replies
    /// promise stands in `guard`, where whoever collects garbage looks first: it is the one of this process.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process writes it; [`StoreError::DamagedLog`]; [`PushError::UnknownFormat`].
    pub fn open(store: &Store, settings: &Settings, guard: Arc<Guard>, now: Moment) -> Result<Self, PushError> {
        let (folder, uploads) = (store.layout.pushed(), store.layout.uploads());
        for folder in [&folder, &folder.join("log"), &uploads] {
            ensure_folder(folder, 0o700)?;
        }
        let lock = PushedLock::take(&store.layout)?;
        let open::Found { index, rows, last } = open::find(&folder)?;
        let state = open::snapshot(store, rows);
        for (repository, digest, Lost { problem, .. }) in state.lost() {
            tracing::error!(repository, %digest, problem, "a pushed manifest cannot be served: nothing is deleted until it is pushed again, deleted, or healed before the next start");
        }
        let published = Arc::new(ArcSwap::from_pointee(state.clone()));
        let indexed = last.as_ref().map_or(0, |last| last.number);
        let log = Log::open(&folder.join("log"), last.as_ref())?;
        let desk = Desk { log, index, state, published: published.clone(), folder, indexed, broken: false };
        let writer = Writer::start(desk)?;
        writer.submit(now.wall, None, Change::Note(Operation::Opened { epoch: lock.epoch }))?;
        let bounds = Bounds {
            uploads: settings.uploads,
            blob: settings.longest_blob,
            headroom: settings.headroom,
            life: settings.upload_life,
        };
        let uploads = Uploads::open(uploads, bounds, now)?;
        Ok(Self { store: store.clone(), published, uploads, guard, writer, lock })
    }

    /// All pushed content as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// Counts the starts: higher than that of any writer before.
    pub fn epoch(&self) -> u64 {
        self.lock.epoch
    }

    /// Promises the blob `digest` for a while, where it is in the store and `is_offered` says that its repository still has
    /// it: whoever may push may rely on it then, and need not send it again. Returns whether it is promised.
    ///
    /// # Errors
    /// [`StoreError::Foreign`], [`StoreError::Io`].
    pub fn promise(&self, digest: &Digest, now: Moment, is_offered: impl FnOnce() -> bool) -> Result<bool, StoreError> {
        let look = || Ok::<_, StoreError>(self.store.blob_size(digest)?.filter(|_| is_offered()));
        Ok(self.guard.promise_found(digest, now.ticks, look)?.is_some())
    }

    /// Lets repositories go of the blobs that no manifest of theirs refers to, and that nobody was promised: garbage then,
    /// unless something else leads to them. Returns how many these were.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn let_go(&self, now: Moment) -> Result<usize, PushError> {
        let snapshot = self.snapshot();
        let mut count = 0;
        // What a lost manifest refers to looks as if nobody needed it.
        let known = snapshot.repositories(None).filter(|(name, _)| !snapshot.has_lost(name));
        for (name, repository) in known {
            for (digest, _) in repository.blobs().filter(|(digest, _)| !repository.refers_to(digest)) {
                let release = || self.delete_blob((name, None), digest, now);
                match self.guard.unless_promised(digest, now.ticks, release) {
                    Some(Ok(_)) => count += 1,
                    // A manifest came meanwhile, or somebody else was faster.
                    None | Some(Err(PushError::InUse { .. } | PushError::UnknownBlob { .. })) => {}
                    Some(Err(error)) => return Err(error),
                }
            }
        }
        Ok(count)
    }

    /// How many uploads are open.
    pub fn open_uploads(&self) -> usize {
        self.uploads.count()
    }

    /// Begins an upload to `repository`; it survives a restart from here on.
    ///
    /// # Errors
    /// [`PushError::TooManyUploads`]; [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn begin(
        &self,
        repository: &str,
        principal: Option<&str>,
        algorithm: Algorithm,
        now: Moment,
    ) -> Result<UploadId, PushError> {
        self.uploads.begin(repository, principal, algorithm, now)
    }

    /// The bytes of an upload that were acknowledged. Where somebody writes to it at this moment it waits a little: a connection
    /// that was cut is seen later here than by who asks.
    ///
    /// # Errors
    /// [`PushError::UnknownUpload`].
    pub fn acknowledged(&self, repository: &str, principal: Option<&str>, id: &str) -> Result<u64, PushError> {
        let (_, session) = self.uploads.find(repository, principal, id)?;
        session.rest(CUT);
        Ok(session.offset())
    }

    /// Begins to write to an upload; at the offset `at`, in bytes, where that is given.
    ///
    /// # Errors
    /// [`PushError::UnknownUpload`], [`PushError::Busy`], [`PushError::OutOfOrder`].
    pub fn append(
        &self,
        repository: &str,
        principal: Option<&str>,
        id: &str,
        at: Option<u64>,
    ) -> Result<Append, PushError> {
        self.uploads.append(repository, principal, id, at)
    }

    /// Makes what was appended the blob `digest` of `repository`, and ends the upload. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::WrongDigest`]: nothing of it stays; [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn finish(
        &self,
        mut append: Append,
        (repository, principal): (&str, Option<&str>),
        digest: &Digest,
        now: Moment,
    ) -> Result<u64, PushError> {
        let size = append.offset();
        let finished = append.check(digest).and_then(|()| {
            let path = append.path();
            let placed = place::place(
                &self.store,
                &self.guard,
                (append.file(), &path),
                (digest, size),
                (place::Existing::Stays, now.ticks),
            );
            // On a full disk it goes on from what was acknowledged; after any other failure nothing is known of its bytes.
            if !(matches!(placed, Err(StoreError::DiskFull { .. })) && path.exists()) {
                append.end();
            }
            placed?;
            self.hold_blob((repository, principal), (digest, size), None, now)
        });
        self.settle(&append)?;
        finished.map(|()| size)
    }

    /// Lets go of an upload: what was not acknowledged is given up, and one that is over is removed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn settle(&self, append: &Append) -> Result<(), PushError> {
        if append.is_over() {
            self.uploads.remove(append.id())?;
        }
        Ok(())
    }

    /// Gives up an upload.
    ///
    /// # Errors
    /// [`PushError::UnknownUpload`], [`PushError::Busy`].
    pub fn cancel(&self, repository: &str, principal: Option<&str>, id: &str) -> Result<(), PushError> {
        let mut append = self.uploads.append(repository, principal, id, None)?;
        append.end();
        self.settle(&append)
    }

    /// Removes the uploads to which nothing came for too long, and returns how many these were.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn expire_uploads(&self, now: Moment) -> Result<usize, PushError> {
        Ok(self.uploads.expire(now.ticks)?)
    }

    /// Lets `repository` hold the blob `digest`, which the repository `from` holds or a release brought.
    ///
    /// # Errors
    /// [`PushError::UnknownBlob`] where it is not in the store.
    pub fn mount(
        &self,
        (repository, principal): (&str, Option<&str>),
        digest: &Digest,
        from: &str,
        now: Moment,
    ) -> Result<u64, PushError> {
        let found = self.guard.promise_found(digest, now.ticks, || self.store.blob_size(digest))?;
        let unknown = || PushError::UnknownBlob { repository: from.to_owned(), digest: digest.clone() };
        let size = found.ok_or_else(unknown)?;
        self.hold_blob((repository, principal), (digest, size), Some(from.to_owned()), now)?;
        Ok(size)
    }

    /// Puts a manifest into a repository, with all its tags at once. Durable when it returns.
    ///
    /// # Errors
    /// [`PushError::MissingChild`], [`PushError::ChildSize`], [`PushError::TagTaken`].
    pub fn put_manifest(&self, put: PutManifest, principal: Option<&str>, now: Moment) -> Result<Record, PushError> {
        // Judged again by the writer. Here, so that what is refused leaves no bytes behind.
        put.decide(&self.snapshot())?;
        let uploads = self.store.layout.uploads();
        let folder = uploads.join(UploadId::random().during("make a name in", &uploads)?.to_string());
        let content = (&put.manifest.digest, put.manifest.bytes.as_ref());
        place::place_bytes(&self.store, &self.guard, &folder, content, now.ticks)?;
        self.writer.submit(now.wall, principal, Change::Manifest(put))
    }

    /// Removes a tag; what it stood for stays.
    ///
    /// # Errors
    /// [`PushError::UnknownTag`].
    pub fn delete_tag(
        &self,
        (repository, principal): (&str, Option<&str>),
        tag: &str,
        now: Moment,
    ) -> Result<Record, PushError> {
        let change = Change::DeleteTag { repository: repository.to_owned(), tag: tag.to_owned() };
        self.writer.submit(now.wall, principal, change)
    }

    /// Removes a manifest, and the tags that stand for it.
    ///
    /// # Errors
    /// [`PushError::UnknownManifest`]; [`PushError::InUse`] where an index refers to it.
    pub fn delete_manifest(
        &self,
        (repository, principal): (&str, Option<&str>),
        digest: &Digest,
        now: Moment,
    ) -> Result<Record, PushError> {
        let change = Change::DeleteManifest { repository: repository.to_owned(), digest: digest.clone() };
        self.writer.submit(now.wall, principal, change)
    }

    /// Removes a blob from a repository.
    ///
    /// # Errors
    /// [`PushError::UnknownBlob`]; [`PushError::InUse`] where a manifest refers to it.
    pub fn delete_blob(
        &self,
        (repository, principal): (&str, Option<&str>),
        digest: &Digest,
        now: Moment,
    ) -> Result<Record, PushError> {
        let change = Change::DeleteBlob { repository: repository.to_owned(), digest: digest.clone() };
        self.writer.submit(now.wall, principal, change)
    }

    /// Records something that changes no content: a login, a refusal.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn audit(
        &self,
        principal: Option<&str>,
        event: &str,
        (repository, facts): (Option<&str>, BTreeMap<String, String>),
        now: Moment,
    ) -> Result<Record, PushError> {
        let (event, repository) = (event.to_owned(), repository.map(str::to_owned));
        self.writer.submit(now.wall, principal, Change::Note(Operation::Audit { event, repository, facts }))
    }

    fn hold_blob(
        &self,
        (repository, principal): (&str, Option<&str>),
        (digest, size): (&Digest, u64),
        from: Option<String>,
        now: Moment,
    ) -> Result<(), PushError> {
        let (repository, digest) = (repository.to_owned(), digest.clone());
        self.writer.submit(now.wall, principal, Change::Blob { repository, digest, size, from })?;
        Ok(())
    }
}
