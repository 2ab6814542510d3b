//! One upload.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use super::state::State;
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::gc::protocol::Tick;
use crate::pushed::moment::Moment;

/// One upload, with what was acknowledged of it.
#[derive(Debug)]
pub(crate) struct Session {
    folder: PathBuf,
    state: Mutex<State>,
    /// When the last byte came, in seconds on the clock that only runs forward; before its beginning for what an earlier process left.
    touched: AtomicI64,
    /// Whether somebody writes to it. It stays so for ever once it ended.
    is_taken: Mutex<bool>,
    given_back: Condvar,
}

impl Session {
    /// A new upload in `folder`, which is empty. Durable when it returns.
    pub(crate) fn create(folder: PathBuf, state: State, now: Tick) -> Result<Self, StoreError> {
        let session = Self::new(folder, state, seconds(now));
        let path = session.data();
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        failpoint::hit("create upload").and_then(|()| create()).during("create", &path)?;
        session.state().write(&session.folder.join("state.json"))?;
        Ok(session)
    }

    /// The upload that an earlier process left in `folder`; nothing where it is none any more.
    pub(crate) fn recover(folder: &Path, now: Moment) -> Option<Self> {
        let state = State::read(&folder.join("state.json"))?;
        let length = fs::symlink_metadata(folder.join("data")).ok().filter(fs::Metadata::is_file)?.len();
        if length < state.offset {
            return None;
        }
        // A clock that was ahead must not keep it for ever.
        let idle = now.wall.duration_since(state.touched).as_secs().max(0);
        let session = Self::new(folder.to_owned(), state, seconds(now.ticks).saturating_sub(idle));
        session.trim();
        Some(session)
    }

    /// Gives back what was reserved behind the acknowledged bytes, or came there, when its process ended.
    fn trim(&self) {
        let cut = |file: File| failpoint::hit("cut upload").and_then(|()| file.set_len(self.offset()));
        if !self.open_data().is_ok_and(|file| cut(file).is_ok()) {
            tracing::debug!(folder = %self.folder.display(), "what was reserved for an upload cannot be given back");
        }
    }

    fn new(folder: PathBuf, state: State, touched: i64) -> Self {
        let (state, touched) = (Mutex::new(state), AtomicI64::new(touched));
        Self { folder, state, touched, is_taken: Mutex::default(), given_back: Condvar::new() }
    }

    pub(crate) fn belongs_to(&self, repository: &str, principal: Option<&str>) -> bool {
        let state = self.state();
        state.repository == repository && state.principal.as_deref() == principal
    }

    /// Who began it.
    pub(crate) fn principal(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).principal.clone()
    }

    /// The bytes that were acknowledged.
    pub(crate) fn offset(&self) -> u64 {
        self.state().offset
    }

    /// For how long no byte came.
    pub(crate) fn idle(&self, now: Tick) -> SignedDuration {
        SignedDuration::from_secs(seconds(now).saturating_sub(self.touched.load(Ordering::Relaxed)))
    }

    /// Whether the caller is the one who may write now.
    pub(crate) fn take(&self) -> bool {
        !std::mem::replace(&mut *self.taken(), true)
    }

    /// Waits until nobody writes, but not longer than `patience`: whose connection was cut may ask how far it came before the
    /// server has seen that it was.
    pub(crate) fn rest(&self, patience: Duration) {
        let taken = self.given_back.wait_timeout_while(self.taken(), patience, |is_taken| *is_taken);
        drop(taken.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the next one write.
    pub(crate) fn give_back(&self) {
        *self.taken() = false;
        self.given_back.notify_all();
    }

    fn taken(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes `state` durable, whose bytes are so already, and acknowledges it.
    pub(crate) fn acknowledge(&self, state: State, now: Tick) -> Result<(), StoreError> {
        state.write(&self.folder.join("state.json"))?;
        self.touched.store(seconds(now), Ordering::Relaxed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The bytes, for reading and writing.
    pub(crate) fn open_data(&self) -> Result<File, StoreError> {
        let path = self.data();
        OpenOptions::new().read(true).write(true).open(&path).during("open", &path)
    }
}

fn seconds(tick: Tick) -> i64 {
    i64::try_from(tick).unwrap_or(i64::MAX)
}
