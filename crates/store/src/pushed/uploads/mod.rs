//! Uploads: blobs on their way in, that survive a restart (docs/formats/store.md).
//!
//! `uploads/<id>/data` holds the bytes, `state.json` how many of them were acknowledged and the state of their hash. What is behind
//! them was never promised, and is overwritten.

mod append;
mod direct;
mod id;
mod session;
mod state;
mod vectored;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use sealock_trust::Algorithm;

pub use append::Append;
use direct::Lanes;
pub use id::UploadId;
use session::Session;
use state::State;

use super::error::PushError;
use super::moment::Moment;
use crate::durable::{ensure_folder, remove_folder_if_there};
use crate::error::{IoContext, StoreError};
use crate::gc::protocol::Tick;

/// An upload to which something came within this time is likely to go on.
const MISSED: SignedDuration = SignedDuration::from_secs(10);

/// Bounds of what uploads can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Open ones at a time.
    pub(crate) uploads: usize,
    /// The longest blob, in bytes.
    pub(crate) blob: u64,
    /// What stays free on the disk, in bytes.
    pub(crate) headroom: u64,
    /// Without a byte for so long, an upload is dead. Whoever sets the clock on the wall while it is open ends none.
    pub(crate) life: SignedDuration,
}

/// All open uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    bounds: Bounds,
    lanes: Lanes,
    open: Mutex<HashMap<UploadId, Arc<Session>>>,
}

impl Uploads {
    /// Finds the uploads that an earlier process left in `folder`, and removes what is no upload any more.
    pub(crate) fn open(folder: PathBuf, bounds: Bounds, now: Moment) -> Result<Self, StoreError> {
        let mut open = HashMap::new();
        for entry in fs::read_dir(&folder).during("read", &folder)? {
            let path = entry.during("read", &folder)?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(UploadId::parse);
            match id.and_then(|id| Some((id, Session::recover(&path, now)?))) {
                Some((id, session)) => {
                    open.insert(id, Arc::new(session));
                }
                None => remove_folder_if_there(&path)?,
            }
        }
        Ok(Self { folder, bounds, lanes: Lanes::default(), open: Mutex::new(open) })
    }

    /// Begins an upload of nothing yet; it survives a restart from here on.
    pub(crate) fn begin(
        &self,
        repository: &str,
        principal: Option<&str>,
        algorithm: Algorithm,
        now: Moment,
    ) -> Result<UploadId, PushError> {
        let limit = self.bounds.uploads;
        if self.count() >= limit && !self.make_room(now.ticks)? {
            return Err(PushError::TooManyUploads { limit });
        }
        let id = UploadId::random().during("make a name in", &self.folder)?;
        let folder = self.folder.join(id.to_string());
        let state = State::new(repository, principal, algorithm, now.wall);
        let session = self.make(&folder, state, now.ticks);
        let session = session.inspect_err(|_| remove_quietly(&folder))?;
        self.sessions().insert(id.clone(), Arc::new(session));
        Ok(id)
    }

    fn make(&self, folder: &std::path::Path, state: State, now: Tick) -> Result<Session, StoreError> {
        ensure_folder(folder, 0o700)?;
        Session::create(folder.to_owned(), state, now)
    }

    /// The upload `id`, where it belongs to that repository and principal.
    pub(crate) fn find(
        &self,
        repository: &str,
        principal: Option<&str>,
        id: &str,
    ) -> Result<(UploadId, Arc<Session>), PushError> {
        let unknown = || PushError::UnknownUpload { id: id.chars().take(64).collect() };
        let parsed = UploadId::parse(id).ok_or_else(unknown)?;
        let session = self.sessions().get(&parsed).cloned().ok_or_else(unknown)?;
        if session.belongs_to(repository, principal) { Ok((parsed, session)) } else { Err(unknown()) }
    }

    /// Begins to write to an upload, at `at` where that is given.
    pub(crate) fn append(
        &self,
        repository: &str,
        principal: Option<&str>,
        id: &str,
        at: Option<u64>,
    ) -> Result<Append, PushError> {
        let (id, session) = self.find(repository, principal, id)?;
        let offset = session.offset();
        if at.is_some_and(|at| at != offset) {
            return Err(PushError::OutOfOrder { offset });
        }
        let append = Append::begin(id, session, self.bounds, self.lanes.clone())?;
        // Somebody else may have written in between.
        match append.offset() {
            now if at.is_none_or(|at| at == now) => Ok(append),
            now => Err(PushError::OutOfOrder { offset: now }),
        }
    }

    /// Removes an upload with all that came of it.
    pub(crate) fn remove(&self, id: &UploadId) -> Result<(), StoreError> {
        self.sessions().remove(id);
        remove_folder_if_there(&self.folder.join(id.to_string()))
    }

    /// Removes the uploads to which nothing came for too long, and returns how many these were.
    pub(crate) fn expire(&self, now: Tick) -> Result<usize, StoreError> {
        let is_dead = |session: &Session| session.idle(now) > self.bounds.life;
        let mut dead = Vec::new();
        for (id, session) in &*self.sessions() {
            // Whoever writes at this moment keeps it.
            if is_dead(session) && session.take() {
                dead.push(id.clone());
            }
        }
        for id in &dead {
            self.remove(id)?;
        }
        Ok(dead.len())
    }

    /// Gives up one upload for another one, if some principal has one that nobody seems to miss. Returns whether it did.
    fn make_room(&self, now: Tick) -> Result<bool, StoreError> {
        match self.least_missed(now) {
            Some(id) => self.remove(&id).map(|()| true),
            None => Ok(false),
        }
    }

    /// The upload to which nothing came for longest, of the principal who has most open and left one behind: who leaves many pays
    /// for it, and nobody who has less than an equal share of what may be open.
    fn least_missed(&self, now: Tick) -> Option<UploadId> {
        let sessions = self.sessions();
        let mut by_principal: HashMap<_, Vec<_>> = HashMap::new();
        for (id, session) in &*sessions {
            by_principal.entry(session.principal()).or_default().push((session.idle(now), id, session));
        }
        let share = sessions.len() / by_principal.len().max(1);
        let mut greedy: Vec<_> = by_principal.into_values().filter(|open| open.len() >= share).collect();
        greedy.sort_by_key(|open| Reverse(open.len()));
        for mut open in greedy {
            open.retain(|(idle, ..)| *idle >= MISSED);
            open.sort_by_key(|(idle, ..)| Reverse(*idle));
            if let Some((_, id, _)) = open.into_iter().find(|(.., session)| session.take()) {
                return Some(id.clone());
            }
        }
        None
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.sessions().len()
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stays behind is removed at the next start.
fn remove_quietly(folder: &std::path::Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::debug!(folder = %folder.display(), %error, "an upload that did not begin stays behind");
    }
}
