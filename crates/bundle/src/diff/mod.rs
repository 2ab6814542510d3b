//! What is different between two bundles, locks or releases, for the person who approves an import
//! (docs/formats/diff.md).
//!
//! Both sides are hostile until somebody has verified them; the result says which of them were. Every text in it is
//! [`Plain`], every list is bounded, and what was left out or could not be read is said in `notes`.

mod alerts;
mod artifacts;
mod chart;
mod facts;
mod model;
mod packages;
mod secrets;
mod side;
mod text;
mod transfer;
mod tree;

pub use chart::files as chart_files;
pub use model::{
    Alert, Amount, ArtifactChange, CarriedList, Change, Diff, FactChange, Kind, Layer, Level, Origin, PackageChange,
    PackageChanges, Parameter, SideSummary, Source, State, StreamPosition, TextChange, Transfer, Trust, Unchanged,
};
pub(crate) use packages::sboms;
pub use side::Side;

use tree::Trees;

/// Reads the blob of this digest, of at most this many bytes: none where the side has not got it, or it is larger.
/// What is answered has that digest.
pub type ReadBlob<'a, E> = dyn Fn(&sealock_trust::Digest, u64) -> Result<Option<Vec<u8>>, E> + 'a;

/// A side, and how its blobs are read.
pub struct Readable<'a, E> {
    /// What it names.
    pub side: Side,
    /// Its blobs.
    pub read: &'a ReadBlob<'a, E>,
}

impl<E> std::fmt::Debug for Readable<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readable").field("side", &self.side).finish_non_exhaustive()
    }
}

/// Compares `old` with `new`.
///
/// # Errors
/// When a blob cannot be read, or is not what its digest promises.
pub fn between<E>(mut old: Readable<'_, E>, mut new: Readable<'_, E>) -> Result<Diff, E> {
    let mut notes = Vec::new();
    let trees = [Trees::of(&mut old, &mut notes)?, Trees::of(&mut new, &mut notes)?];
    old.side.weigh();
    new.side.weigh();
    let pairs = artifacts::pairs(&old.side, &new.side);
    let artifacts = artifacts::changes(&pairs, [&old.side, &new.side], &trees);
    let unchanged = artifacts::unchanged(&pairs, &artifacts);
    let facts = facts::changes(&old.side.summary, &new.side.summary);
    let alerts = alerts::of(&artifacts, &facts, [&old.side, &new.side]);
    let transfer = transfer::of(&old.side, &new.side, &mut notes);
    let texts = text::changes(&pairs, [&old, &new], &trees, &mut notes)?;
    let packages = packages::changes(&pairs, [&old, &new], &trees, &mut notes)?;
    let differs = !(artifacts.is_empty() && facts.is_empty() && transfer.is_none_needed() && packages.is_empty());
    notes.sort();
    notes.dedup();
    Ok(Diff {
        format: model::FORMAT.to_owned(),
        differs,
        old: old.side.summary,
        new: new.side.summary,
        alerts,
        facts,
        artifacts,
        unchanged,
        transfer,
        texts,
        packages,
        notes,
    })
}
