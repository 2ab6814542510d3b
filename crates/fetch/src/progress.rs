//! What a caller can show while something is fetched.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::upstream::Failure;

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A new phase of the work began, like `resolving images`.
    Phase(&'a str),
    /// This much is to be transferred in all.
    Planned {
        /// Number of blobs.
        blobs: u64,
        /// Their sizes together, in bytes.
        bytes: u64,
    },
    /// Of that, this much was there already from an earlier run.
    Kept {
        /// Number of blobs.
        blobs: u64,
        /// Their sizes together, in bytes.
        bytes: u64,
    },
    /// A download began.
    Started {
        /// What is downloaded.
        name: &'a str,
        /// Its size in bytes, where known.
        size: Option<u64>,
    },
    /// More bytes arrived.
    Advanced(u64),
    /// Bytes reported as arrived are to be fetched anew, because the upstream cannot continue in the middle.
    Rewound(u64),
    /// A download ended well.
    Finished {
        /// What was downloaded.
        name: &'a str,
    },
    /// A try failed for a reason that may pass.
    Retrying {
        /// What is downloaded.
        name: &'a str,
        /// Why the try failed.
        failure: &'a Failure,
        /// How long until the next.
        wait: Duration,
    },
    /// Something a person should know, though it stops nothing.
    Note(&'a str),
}

/// Receives events, from several threads at once.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl Progress {
    /// Calls `receive` for each event.
    pub fn new(receive: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Nobody looks.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn report(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
