//! Memory and descriptors of the server, from outside.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::world::World;

/// Resident memory of a server under load (DESIGN §11), in MiB.
const MEMORY: u64 = 256;
/// Descriptors for each worker: its connection, what it reads, what it writes.
const DESCRIPTORS_EACH: usize = 4;
/// Descriptors beside: log, index, listeners, the runtime.
const DESCRIPTORS: usize = 128;

/// The most that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    memory: u64,
    descriptors: usize,
}

/// A thread that looks.
pub(super) struct Watch(thread::JoinHandle<Result<Seen>>);

impl Watch {
    /// Looks at the process until the world is over, and stops it where a bound is broken.
    pub(super) fn start(pid: u32, workers: usize, world: Arc<World>) -> Self {
        let bound = DESCRIPTORS + workers * DESCRIPTORS_EACH;
        Self(thread::spawn(move || {
            let mut seen = Seen::default();
            while !world.is_over() {
                seen.look(pid)?;
                if seen.memory > MEMORY || seen.descriptors > bound {
                    world.stop();
                    bail!("{seen}; {MEMORY} MiB and {bound} descriptors are the bounds");
                }
                thread::park_timeout(Duration::from_millis(200));
            }
            Ok(seen)
        }))
    }

    /// What was seen, or which bound was broken.
    pub(super) fn join(self) -> Result<Result<Seen>> {
        self.0.join().map_err(|_| anyhow!("the watcher panicked"))
    }
}

impl Seen {
    fn look(&mut self, pid: u32) -> Result<()> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        self.memory = self.memory.max(crate::bench::field(&status, "VmRSS:") >> 10);
        self.descriptors = self.descriptors.max(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server had at most {} MiB and {} descriptors", self.memory, self.descriptors)
    }
}
