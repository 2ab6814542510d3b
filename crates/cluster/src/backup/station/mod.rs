//! Backups of a station: what a site remembers and signs with, so that another machine can take the station's place (docs/formats/site-backup.md).
//!
//! What bundles bring again is not in it: no blob. [`take`] gathers the files, [`unpack`] lays them out on another machine, where the
//! trust state counts as an older copy until two people have settled it.

mod file;
mod gather;
mod manifest;
mod names;
mod owners;
mod place;
mod settings;
#[cfg(test)]
mod tests;
mod unpack;

pub use file::StationBackup;
pub use gather::{Gathered, Source, take};
pub use manifest::{Bundle, StationManifest};
pub use place::{Places, Restored, restore};
