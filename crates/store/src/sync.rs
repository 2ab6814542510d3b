//! Makes written blobs durable on a thread of its own, so that the writer hashes the next one meanwhile.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use crate::error::{IoContext, StoreError};

/// Files that may wait for their turn; each is an open descriptor.
const WAITING_FILES: usize = 64;

/// A thread that calls `fdatasync` on the files it is given.
#[derive(Debug)]
pub(crate) struct Syncer {
    queue: SyncSender<(File, PathBuf)>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Syncer {
    pub(crate) fn start(folder: &Path) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::sync_channel::<(File, PathBuf)>(WAITING_FILES);
        let work = move || waiting.into_iter().try_for_each(|(file, path)| file.sync_data().during("sync", &path));
        let thread =
            thread::Builder::new().name("store-sync".into()).spawn(work).during("start a thread for", folder)?;
        Ok(Self { queue, thread })
    }

    /// Queues `file`. An error of an earlier file shows here at the latest when the queue has ended; see [`Self::finish`].
    pub(crate) fn push(&self, file: File, path: PathBuf) {
        // The other end is gone only after an error, which `finish` reports.
        let _ = self.queue.send((file, path));
    }

    /// Waits until every file is durable.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|_| {
            Err(io::Error::other("the thread that makes blobs durable ended early"))
                .during("sync", Path::new("staging"))
        })
    }
}
