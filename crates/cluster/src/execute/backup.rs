//! Backups on their way between a control plane host and the station. Neither end ever holds all of one in memory.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use openssh::Session;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connection::bounded;
use super::{Binary, Connection, ExecuteError, deliver};
use crate::backup::{Delivery, Order, Taken};

const TAKE: &str = r#"exec "$1" node backup"#;
const UNPACK: &str = r#"exec "$1" node unpack"#;

/// A snapshot of 8 GiB from a slow disk, and its rehearsal.
const SNAPSHOT: Duration = Duration::from_secs(3600);
/// Without a byte for so long, the other end is taken for gone.
const STALLED: Duration = Duration::from_secs(300);
/// A command whose work is done, or that was hung up on, ends within this time: it may have gigabytes to bring to its disk.
const ENDS: Duration = Duration::from_secs(300);
/// The line before the content; in bytes.
const LINE: u64 = 1 << 20;
const AT_ONCE: usize = 256 << 10;

impl Connection {
    /// Has this control plane host take a backup, and writes what is encrypted to `into`; `progress` is told how many bytes came.
    ///
    /// # Errors
    /// The host does not take one, stops in the middle, or `into` takes no more.
    pub(crate) async fn take_backup(
        &self,
        binary: &Binary,
        order: &Order,
        into: &mut (dyn Write + Send),
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Taken, ExecuteError> {
        let program = deliver::deliver(self, binary).await?;
        let order = serde_json::to_vec(order).map_err(|source| self.not_understood("sealock node backup", source))?;
        let mut child = self.spawn(TAKE, &[&program]).await?;
        if let Some(mut stdin) = child.stdin().take() {
            // A command that does not read all of it ends by itself, and says why.
            let _ = stdin.write_all(&order).await;
            let _ = stdin.shutdown().await;
        }
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let Some(stdout) = stdout else { return Err(self.lost(openssh::Error::Disconnected)) };
        let stdout = BufReader::with_capacity(AT_ONCE, stdout);
        let outcome = beside(self.receive(stdout, into, progress), bounded(stderr)).await;
        self.end(TAKE, child, outcome).await
    }

    async fn receive(
        &self,
        mut stdout: impl AsyncBufRead + Unpin,
        into: &mut (dyn Write + Send),
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Taken, ExecuteError> {
        let io = |source| self.lost(openssh::Error::ChildIo(source));
        let mut line = Vec::new();
        let first = timeout(SNAPSHOT, (&mut stdout).take(LINE).read_until(b'\n', &mut line)).await;
        first.map_err(|_| self.late(TAKE, SNAPSHOT))?.map_err(io)?;
        let taken =
            serde_json::from_slice(&line).map_err(|source| self.not_understood("sealock node backup", source))?;
        let (mut buffer, mut received) = (vec![0; AT_ONCE], 0);
        loop {
            let length = timeout(STALLED, stdout.read(&mut buffer)).await;
            match length.map_err(|_| self.late(TAKE, STALLED))?.map_err(io)? {
                0 => return Ok(taken),
                length => {
                    let written = into.write_all(&buffer[..length]);
                    written.map_err(|source| ExecuteError::Io {
                        action: "write",
                        path: PathBuf::from("the backup"),
                        source,
                    })?;
                    received += length as u64;
                    progress(received);
                }
            }
        }
    }

    /// Lays a backup onto this host, where its steps find it: `pieces` are its content in order.
    ///
    /// # Errors
    /// A piece cannot be read, or the host does not take what it gets.
    pub(crate) async fn give_backup(
        &self,
        binary: &Binary,
        delivery: &Delivery,
        pieces: &mut mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Result<(), ExecuteError> {
        let program = deliver::deliver(self, binary).await?;
        let mut line =
            serde_json::to_vec(delivery).map_err(|source| self.not_understood("sealock node unpack", source))?;
        line.push(b'\n');
        let mut child = self.spawn(UNPACK, &[&program]).await?;
        let stdin = child.stdin().take();
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let feed = async move {
            // Closed on every way out of here: the other end waits for more.
            let Some(mut stdin) = stdin else { return Ok(()) };
            let mut next = Some(Ok(line));
            while let Some(piece) = next {
                let unread = |source| ExecuteError::Io { action: "read", path: PathBuf::from("the backup"), source };
                let piece = piece.map_err(unread)?;
                let sent = timeout(STALLED, stdin.write_all(&piece)).await.map_err(|_| self.late(UNPACK, STALLED))?;
                // Who does not take all of it ends by itself, and says why.
                if sent.is_err() {
                    break;
                }
                next = pieces.recv().await;
            }
            let _ = stdin.shutdown().await;
            Ok(())
        };
        let answers = async { tokio::join!(bounded(stdout), bounded(stderr)).1 };
        let outcome = beside(feed, answers).await;
        self.end(UNPACK, child, outcome).await
    }

    /// How it ended. What went wrong here is told first: the other end knows only that somebody hung up.
    async fn end<T>(
        &self,
        command: &str,
        child: openssh::Child<&Session>,
        (outcome, said): (Result<T, ExecuteError>, Vec<u8>),
    ) -> Result<T, ExecuteError> {
        if matches!(outcome, Err(ExecuteError::Io { .. } | ExecuteError::Late { .. })) {
            return outcome;
        }
        let status = timeout(ENDS, child.wait()).await.map_err(|_| self.late(command, ENDS))?;
        let status = status.map_err(|source| self.lost(source))?;
        // Why the host gave up says more than that its answer ended early.
        if status.success() { outcome } else { Err(self.said(command, status.code(), &said)) }
    }
}

/// Does `work` to its end, and reads what the other end complains about meanwhile, and for a while after: one that stays silent and does
/// not end holds nobody up.
async fn beside<T>(
    work: impl Future<Output = T>,
    complaint: impl Future<Output = std::io::Result<Vec<u8>>>,
) -> (T, Vec<u8>) {
    let (mut work, mut complaint) = (std::pin::pin!(work), std::pin::pin!(complaint));
    tokio::select! {
        outcome = &mut work => {
            let said = timeout(ENDS, complaint).await;
            (outcome, said.map_or_else(|_| Vec::new(), Result::unwrap_or_default))
        }
        said = &mut complaint => (work.await, said.unwrap_or_default()),
    }
}
