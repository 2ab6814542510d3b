//! Collecting while no server runs: what was condemned is written down for the next run.
//!
//! Whoever serves gives promises that nobody else knows of. So whoever collects holds the lock `serving`, which a server holds
//! for as long as it runs; and a server that starts throws away what was condemned without it: a blob that is deleted here has
//! been condemned all the time without anybody to promise it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{FlockOperation, flock};
use sealock_trust::Digest;
use sealock_trust::json::jcs;
use serde::{Deserialize, Serialize};

use super::guard::Guard;
use super::protocol::{Terms, Tick};
use crate::durable::{remove_if_there, replace_file, sync_folder};
use crate::error::{IoContext, StoreError};
use crate::reserve::with_room;
use crate::store::Store;

/// No list of the condemned is longer than this, in bytes; a longer one counts as none, and the wait begins anew.
const LONGEST_LIST: u64 = 256 << 20;

/// A time that no clock can be turned back to: seconds since the machine was started, and which start that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The start of the machine, as the kernel calls it.
    pub boot: String,
    /// Seconds since then.
    pub seconds: Tick,
}

/// The right to give promises for a store, or to collect its garbage: held by one process at a time.
#[derive(Debug)]
pub struct Serving {
    /// Held for its `flock`.
    file: File,
}

impl Drop for Serving {
    /// Closing the file would do, were it not for a process forked at this moment, which has it open until it calls exec.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "the right to serve the store was not given back");
        }
    }
}

impl Serving {
    /// Takes the right to give promises. Nothing is condemned from now on that was condemned before.
    ///
    /// # Errors
    /// [`StoreError::Served`] at once where another process has it; [`StoreError::Io`].
    pub fn begin(store: &Store) -> Result<Self, StoreError> {
        let serving = Self::take(store)?;
        remove_if_there(&store.layout.condemned())?;
        // Before the first promise: after a power loss the list is not back.
        sync_folder(store.path())?;
        Ok(serving)
    }

    fn take(store: &Store) -> Result<Self, StoreError> {
        let path = store.layout.serving();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).during("open", &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Served { path: store.path().to_owned() }),
            result => result.during("lock", &path).map(|()| Self { file }),
        }
    }
}

/// What stands in `condemned`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// The start of the machine whose seconds these are.
    boot: String,
    /// When the first of the runs was that led here: no server has run since.
    begun: Tick,
    /// When each blob was condemned.
    condemned: BTreeMap<Digest, Tick>,
}

/// Collects while no server runs.
#[derive(Debug)]
pub struct Offline {
    store: Store,
    guard: Guard,
    begun: Tick,
    moment: Moment,
    _serving: Serving,
}

impl Offline {
    /// Recalls what earlier runs have condemned, since `moment`'s start of the machine.
    ///
    /// # Errors
    /// [`StoreError::Served`]; [`StoreError::Io`].
    pub fn begin(store: &Store, terms: Terms, moment: Moment) -> Result<Self, StoreError> {
        let serving = Serving::take(store)?;
        // Where nothing was ever pushed, nobody was promised anything.
        let lease = if store.path().join("pushed").exists() { terms.lease } else { 0 };
        let list = read(store)?.filter(|list| list.boot == moment.boot && list.begun <= moment.seconds);
        let begun = list.as_ref().map_or(moment.seconds, |list| list.begun);
        let guard = Guard::new(Terms { lease, ..terms }, begun);
        for (digest, since) in list.map(|list| list.condemned).unwrap_or_default() {
            guard.recall(&digest, since);
        }
        Ok(Self { store: store.clone(), guard, begun, moment, _serving: serving })
    }

    /// What is condemned; nothing is promised.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The time of this run.
    pub fn now(&self) -> Tick {
        self.moment.seconds
    }

    /// Writes down what is condemned now, for the next run.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`]: the next run knows what this one was told.
    pub fn save(&self) -> Result<(), StoreError> {
        let condemned = self.guard.all_condemned().into_iter().map(|(digest, condemned)| (digest, condemned.since));
        let list = List { boot: self.moment.boot.clone(), begun: self.begun, condemned: condemned.collect() };
        let path = self.store.layout.condemned();
        if list.condemned.is_empty() {
            return remove_if_there(&path);
        }
        let bytes = jcs::to_vec(&list).map_err(io::Error::other).during("write", &path)?;
        with_room(&self.store.layout, || replace_file(&path, &bytes, 0o600))
    }
}

/// A list that cannot be understood is none: the wait begins anew.
fn read(store: &Store) -> Result<Option<List>, StoreError> {
    let path = store.layout.condemned();
    let mut bytes = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(LONGEST_LIST).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.during("read", &path)?,
    };
    Ok(serde_json::from_slice(&bytes).ok())
}
