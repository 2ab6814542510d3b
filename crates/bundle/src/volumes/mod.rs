//! Volumes: a signed bundle, cut into pieces that fit on media, with parity to rebuild what gets lost (docs/formats/volumes.md).
//!
//! The index beside them says what each block should be. It is a hint for finding and rebuilding, and vouches for
//! nothing: whatever comes out is verified as a bundle.

mod code;
mod error;
mod geometry;
mod index;
mod new_file;
mod repair;
mod scan;
mod send;
mod set;
mod size;
mod tally;

pub use error::VolumeError;
pub use geometry::{BLOCK, Geometry, MAX_VOLUMES, ParityShape, Place};
pub use index::{FORMAT, INDEX_SUFFIX, Index, Volume};
pub use repair::{Repaired, Target, repair};
pub use scan::{Damage, Extent, Needs, Verdict, VolumeState, scan};
pub use send::{Sending, Sent, SentVolume, plan, send};
pub use set::{VolumeSet, is_volume_name};
pub use size::{Percent, SizeError, VolumeSize};

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is going on.
    pub part: Part,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes of this part.
    pub total: u64,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Data volumes are written.
    Cutting,
    /// Parity volumes are made.
    Parity,
    /// Blocks are compared with the index.
    Scanning,
    /// Lost blocks are rebuilt.
    Rebuilding,
    /// The result is read back, and every digest of the bundle compared.
    Checking,
}

/// Counts what is done of one part, and tells it.
struct Meter<'a> {
    told: &'a mut dyn FnMut(Progress),
    at: Progress,
}

impl<'a> Meter<'a> {
    fn new(told: &'a mut dyn FnMut(Progress), part: Part, total: u64) -> Self {
        let at = Progress { part, done: 0, total };
        told(at);
        Self { told, at }
    }

    fn advance(&mut self, more: u64) {
        self.at.done += more;
        (self.told)(self.at);
    }

    fn at(&mut self, done: u64) {
        self.at.done = done;
        (self.told)(self.at);
    }
}
