//! One upload.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::state::State;
use crate::error::{IoContext, StoreError};
use crate::failpoint;

/// One upload, with what was acknowledged of it.
#[derive(Debug)]
pub(crate) struct Session {
    folder: PathBuf,
    state: Mutex<State>,
    /// Whether somebody writes to it. It stays so for ever once it ended.
    is_taken: AtomicBool,
}

impl Session {
    /// A new upload in `folder`, which is empty. Durable when it returns.
    pub(crate) fn create(folder: PathBuf, state: State) -> Result<Self, StoreError> {
        let session = Self { folder, state: Mutex::new(state), is_taken: AtomicBool::new(false) };
        let path = session.data();
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        failpoint::hit("create upload").and_then(|()| create()).during("create", &path)?;
        session.state().write(&session.folder.join("state.json"))?;
        Ok(session)
    }

    /// The upload that an earlier process left in `folder`; nothing where it is none any more.
    pub(crate) fn recover(folder: &Path, now: Timestamp) -> Option<Self> {
        let mut state = State::read(&folder.join("state.json"))?;
        // A clock that was ahead must not keep it for ever.
        state.touched = state.touched.min(now);
        let length = fs::symlink_metadata(folder.join("data")).ok().filter(fs::Metadata::is_file)?.len();
        if length < state.offset {
            return None;
        }
        Some(Self { folder: folder.to_owned(), state: Mutex::new(state), is_taken: AtomicBool::new(false) })
    }

    pub(crate) fn belongs_to(&self, repository: &str, principal: Option<&str>) -> bool {
        let state = self.state();
        state.repository == repository && state.principal.as_deref() == principal
    }

    /// The bytes that were acknowledged.
    pub(crate) fn offset(&self) -> u64 {
        self.state().offset
    }

    /// When the last byte came.
    pub(crate) fn touched(&self) -> Timestamp {
        self.state().touched
    }

    /// Whether the caller is the one who may write now.
    pub(crate) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }

    /// Lets the next one write.
    pub(crate) fn give_back(&self) {
        self.is_taken.store(false, Ordering::Release);
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes `state` durable, whose bytes are so already, and acknowledges it.
    pub(crate) fn acknowledge(&self, state: State) -> Result<(), StoreError> {
        state.write(&self.folder.join("state.json"))?;
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
