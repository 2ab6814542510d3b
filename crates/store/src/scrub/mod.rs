//! The scrub: hashes what stands in the store, the blob first that was looked at longest ago, and takes out what has rotted.

mod direct;
mod heal;
mod verified;

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use sealock_trust::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::blob::Place;
use crate::durable::{ensure_folder, rename, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::gc::{Amount, Guard};
use crate::layout::digest_of_name;
use crate::lock::StoreLock;
use crate::operations::Operation;
use crate::store::Store;
use direct::Reader;

pub(crate) use verified::Verified;

/// What a copy of a rotten blob leaves free on the disk, in bytes.
const HEADROOM: u64 = 64 << 20;

/// One pass over a store.
pub struct Scrub<'a> {
    /// The store.
    pub store: &'a Store,
    /// Of a server: nobody is promised a blob while it is taken out.
    pub guard: Option<&'a Guard>,
    /// The time.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Only blobs that were hashed before this are; all where there is nothing.
    pub before: Option<Timestamp>,
    /// Hears how many bytes were read just now: waits until more may be read, and says whether to go on.
    pub pace: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl std::fmt::Debug for Scrub<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrub").field("store", &self.store).field("before", &self.before).finish_non_exhaustive()
    }
}

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// What was hashed, and is what its name says.
    pub verified: Amount,
    /// What is not.
    pub rotten: Vec<Rotten>,
    /// What was due, and not hashed since the pass ended early.
    pub left: Amount,
}

/// A blob that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotten {
    /// Its name.
    pub digest: Digest,
    /// What is wrong with it.
    pub problem: String,
    /// Whether it is in quarantine; if not, an import is at work, and the next pass takes it out.
    pub quarantined: bool,
}

/// What hashing a blob came to.
pub(crate) enum Hashed {
    /// It is what its name says.
    Whole,
    /// It is not.
    Rotten(String),
    /// It was deleted meanwhile.
    Gone,
    /// Whoever waits has had enough.
    Stopped,
}

impl Scrub<'_> {
    /// Hashes each blob that is due, oldest first, and moves what has rotted into quarantine: the registry answers 404 then,
    /// instead of bytes that no client believes.
    ///
    /// # Errors
    /// [`StoreError`] where the store itself cannot be read or written. A blob that cannot be read has rotted.
    pub fn run(self) -> Result<Scrubbed, StoreError> {
        let known = Verified::read(&self.store.layout, (self.clock)())?;
        let mut due = Vec::new();
        self.store.each_blob(&mut |digest, size| due.push((known.at(&digest), digest, size)))?;
        let names: std::collections::HashSet<Digest> = due.iter().map(|(_, digest, _)| digest.clone()).collect();
        let mut appender = known.append(&self.store.layout, |digest| names.contains(digest))?;
        due.retain(|(at, _, _)| self.before.is_none_or(|before| at.is_none_or(|at| at < before)));
        due.sort_unstable();
        let mut scrubbed = Scrubbed::default();
        let mut due = due.into_iter();
        for (_, digest, size) in due.by_ref() {
            match self.store.hash(&digest, self.pace)? {
                Hashed::Whole => {
                    appender.push(&digest, (self.clock)());
                    scrubbed.verified.add(size);
                }
                Hashed::Gone => {}
                Hashed::Stopped => {
                    scrubbed.left.add(size);
                    break;
                }
                Hashed::Rotten(problem) => {
                    let at = (self.clock)();
                    scrubbed.rotten.extend(take_out(self.store, (self.guard, at), (digest, problem), self.pace)?);
                }
            }
        }
        due.for_each(|(_, _, size)| scrubbed.left.add(size));
        Ok(scrubbed)
    }
}

/// Takes the blob out that has rotted as somebody found. Looks once more under the lock: memory fails too, and an import may have
/// replaced it. Nothing where it is whole then, or gone.
pub(crate) fn take_out(
    store: &Store,
    (guard, at): (Option<&Guard>, Timestamp),
    (digest, problem): (Digest, String),
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<Rotten>, StoreError> {
    let lock = match store.lock() {
        Err(StoreError::Locked { .. }) => return Ok(Some(Rotten { digest, problem, quarantined: false })),
        result => result?,
    };
    let problem = match store.hash(&digest, pace)? {
        Hashed::Rotten(problem) => problem,
        Hashed::Whole | Hashed::Gone => return Ok(None),
        Hashed::Stopped => return Ok(Some(Rotten { digest, problem, quarantined: false })),
    };
    let take_out = || lock.quarantine(&digest, &problem, at);
    match guard {
        Some(guard) => guard.alone(&digest, take_out)?,
        None => take_out()?,
    }
    Ok(Some(Rotten { digest, problem, quarantined: true }))
}

impl StoreLock {
    /// Takes the blob out of the store, for people to look at.
    pub(crate) fn quarantine(&self, digest: &Digest, problem: &str, at: Timestamp) -> Result<(), StoreError> {
        let layout = self.layout();
        let Some(place) = self.store.place(digest)? else { return Ok(()) };
        ensure_folder(&layout.quarantine(), 0o700)?;
        // Messages of the operating system are short; a record is, too.
        let problem = problem.chars().take(1000).collect();
        self.record(at, Operation::Quarantine { blob: digest.clone(), problem })?;
        if let Some(lender) = &place.lender {
            let has_room = self.store.free_bytes()? >= place.size.saturating_add(HEADROOM);
            copy_out(&place, &layout.quarantined(digest), has_room);
            sync_folder(&layout.quarantine())?;
            return self.withdraw_for_good(lender, digest);
        }
        rename(&place.path, &layout.quarantined(digest))?;
        sync_folder(&layout.quarantine())?;
        sync_folder(&layout.blobs().join(digest.algorithm().as_str()))
    }
}

/// What a bundle has lent stays in the bundle: people get a copy, of as much as the disk gives, and has room for. Its name alone
/// tells that the blob has rotted.
fn copy_out(place: &Place, target: &Path, has_room: bool) {
    let copy = || -> io::Result<()> {
        let mut copy = File::create(target)?;
        if !has_room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut reader = Reader::open(place)?;
        loop {
            match reader.next_piece()? {
                [] => return copy.sync_all(),
                piece => copy.write_all(piece)?,
            }
        }
    };
    if let Err(error) = copy() {
        tracing::warn!(copy = %target.display(), %error, "of a blob that has rotted only a part is in quarantine");
    }
}

impl Store {
    /// The blobs in quarantine, sorted.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn quarantined(&self) -> Result<Vec<Digest>, StoreError> {
        let folder = self.layout.quarantine();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.during("read", &folder)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.during("read", &folder)?.file_name();
            found.extend(name.to_str().and_then(digest_of_name));
        }
        found.sort();
        Ok(found)
    }
}

impl Store {
    /// Hashes the blob `digest`, wherever it stands, without the page cache.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be found out where it stands. A blob that cannot be read has rotted.
    pub(crate) fn hash(
        &self,
        digest: &Digest,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Hashed, StoreError> {
        Ok(match self.place(digest)? {
            None => Hashed::Gone,
            Some(place) => hash(&place, digest, pace),
        })
    }
}

fn hash(place: &Place, digest: &Digest, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Hashed {
    let unreadable = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Hashed::Gone,
        _ => Hashed::Rotten(format!("it cannot be read: {error}")),
    };
    let mut reader = match Reader::open(place) {
        Ok(reader) => reader,
        Err(error) => return unreadable(&error),
    };
    let mut hasher = Hasher::new(digest.algorithm());
    loop {
        let length = match reader.next_piece() {
            Ok([]) => break,
            Ok(piece) => {
                hasher.update(piece);
                piece.len()
            }
            Err(error) => return unreadable(&error),
        };
        if pace(length as u64).is_break() {
            return Hashed::Stopped;
        }
    }
    let actual = hasher.finish();
    if actual == *digest { Hashed::Whole } else { Hashed::Rotten(format!("its content is {actual}")) }
}
