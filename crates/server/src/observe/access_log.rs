//! The access log: one JSON object a line, written by a thread of its own so that no request waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::thread;

use serde::Serialize;

/// Lines that may wait for the disk; further ones are dropped, and counted.
const WAITING_LINES: usize = 8192;

/// Where requests are written down.
#[derive(Debug)]
pub(crate) struct AccessLog {
    queue: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    dropped: AtomicU64,
    is_renamed: AtomicBool,
}

impl AccessLog {
    /// Appends to the file `path`, which only its owner can read, and begins to write.
    ///
    /// # Errors
    /// The file cannot be opened, or there can be no thread.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let shared = Shared { path: path.into(), dropped: AtomicU64::new(0), is_renamed: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let (queue, waiting) = sync_channel(WAITING_LINES);
        let writer = shared.clone();
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run(file, &waiting))?;
        Ok(Self { queue, shared })
    }

    /// Queues one record. Where the queue is full it is dropped: a full disk must not stop pulls.
    pub(crate) fn write(&self, record: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(record) else { return };
        line.push(b'\n');
        if self.queue.try_send(line).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The file was renamed: a new one is begun with the next line.
    pub(crate) fn reopen(&self) {
        self.shared.is_renamed.store(true, Ordering::Release);
    }

    /// Lines that were lost to a full queue or disk.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Ends when nobody can queue lines any more.
    fn run(&self, file: File, waiting: &Receiver<Vec<u8>>) {
        let mut file = BufWriter::new(file);
        while let Ok(line) = next(waiting, &mut file) {
            if self.is_renamed.swap(false, Ordering::AcqRel) {
                self.begin_anew(&mut file);
            }
            if let Err(error) = file.write_all(&line) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "a line of the access log was lost");
            }
        }
    }

    /// Where that fails the old file goes on: lines in the wrong file are better than none.
    fn begin_anew(&self, file: &mut BufWriter<File>) {
        match open(&self.path) {
            Ok(new) => *file = BufWriter::new(new),
            Err(error) => tracing::error!(%error, path = %self.path.display(), "the access log cannot be opened anew"),
        }
    }
}

/// The next line. Before it waits, what was written leaves the buffer.
fn next(waiting: &Receiver<Vec<u8>>, file: &mut BufWriter<File>) -> Result<Vec<u8>, RecvError> {
    match waiting.try_recv() {
        Ok(line) => Ok(line),
        Err(TryRecvError::Disconnected) => Err(RecvError),
        Err(TryRecvError::Empty) => {
            if let Err(error) = file.flush() {
                tracing::debug!(%error, "the access log cannot be written");
            }
            waiting.recv()
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;

    fn wait_for(path: &Path, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::read_to_string(path).unwrap_or_default() != text {
            assert!(Instant::now() < deadline, "{}: {:?}", path.display(), fs::read_to_string(path));
            thread::yield_now();
        }
    }

    #[test]
    fn a_renamed_log_is_begun_anew_and_the_old_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::open(&path).unwrap();
        log.write(&"one\u{1b}[2J\n");
        wait_for(&path, "\"one\\u001b[2J\\n\"\n");
        fs::rename(&path, &old).unwrap();
        log.reopen();
        log.write(&"two");
        wait_for(&path, "\"two\"\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "\"one\\u001b[2J\\n\"\n");
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn lines_that_find_no_room_are_counted() {
        let log = AccessLog::open(Path::new("/dev/full")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while log.dropped() == 0 {
            log.write(&"x".repeat(100_000));
            assert!(Instant::now() < deadline, "no line was counted as lost");
        }
    }
}
