//! What bundles lend: blobs that are served out of a verified bundle until they are files of their own.
//!
//! A bundle is taken in as it is, under `lent/`, by the digest of its manifest ([`Offer`]). What it has, and the store has not
//! in a file of its own, it lends. Whoever reads sees no difference ([`crate::Blob`]). Migration ([`Migration`]) makes files of
//! what is lent; a bundle that lends nothing any more is removed.

mod adopted;
mod contents;
mod keep;
mod migrate;
mod offer;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

pub(crate) use adopted::Adopted;
pub(crate) use contents::{Contents, Part, Problem};
pub(crate) use keep::put_away;
pub use migrate::{Migrated, Migration};
pub use offer::Offer;

use crate::blob::{Blob, Place, open_file, read_file, size_of_file};
use crate::error::{IoContext, StoreError};
use crate::gc::Amount;
use crate::layout::{BUNDLE_END, Layout, WITHDRAWN_END, digest_of_name};
use crate::store::Store;

/// What is lent, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Bundles that were taken in, and stand there still.
    pub bundles: u64,
    /// Blobs that are no files of their own yet.
    pub blobs: Amount,
}

impl Store {
    /// What bundles lend at this moment.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn lent(&self) -> Result<Lent, StoreError> {
        let known = self.lenders.known(&self.layout)?;
        let mut lent = Lent { bundles: known.bundles.len() as u64, blobs: Amount::default() };
        for (digest, size) in known.blobs() {
            if size_of_file(&self.layout.blob(&digest))?.is_none() {
                lent.blobs.add(size);
            }
        }
        Ok(lent)
    }

    /// What is wrong with bundles that were taken in: what they had lent is not in the store any more. Each in a sentence.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn unreadable_lenders(&self) -> Result<Vec<String>, StoreError> {
        let known = self.lenders.known(&self.layout)?;
        let broken = known.bundles.iter().filter_map(|bundle| Some((bundle, bundle.contents.as_ref().as_ref().err()?)));
        Ok(broken
            .map(|(bundle, problem)| format!("what the bundle {} lends is not known: {problem}", bundle.manifest))
            .collect())
    }
}

/// What is known of the folder `lent/`, by everybody who has this store open in this process.
///
/// Nobody tells of a change: another process may have made it. So each look lists the folder, which has few entries, and reads
/// anew what is another one than before.
#[derive(Debug, Default)]
pub(crate) struct Lenders(ArcSwap<Known>);

/// What the bundles in `lent/` lend.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// In the order of their names.
    pub(crate) bundles: Vec<Bundle>,
    stamps: Vec<Stamp>,
}

/// One bundle that was taken in.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// The digest of its manifest.
    pub(crate) manifest: Digest,
    inode: u64,
    /// What it has; or why that is not known.
    pub(crate) contents: Arc<Result<Contents, String>>,
    /// What it lends no more.
    withdrawn: Arc<HashSet<Digest>>,
}

/// By this it shows that a bundle, or its list, is another one. Lists only grow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    manifest: Digest,
    inode: u64,
    /// Of the list of what it lends no more, in bytes.
    withdrawn: u64,
}

impl Lenders {
    /// Where the blob `digest` stands in a bundle, if one lends it.
    pub(crate) fn place(&self, layout: &Layout, digest: &Digest) -> Result<Option<Place>, StoreError> {
        Ok(self.known(layout)?.place(layout, digest))
    }

    /// Opens the blob `digest` in a bundle, if one lends it.
    pub(crate) fn open(&self, layout: &Layout, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let Some(place) = self.place(layout, digest)? else { return Ok(None) };
        // One that has gone meanwhile lends nothing any more.
        let Some((file, length)) = open_file(&place.path)? else { return Ok(None) };
        if place.start.saturating_add(place.size) > length {
            tracing::error!(%digest, bundle = %place.path.display(), "a bundle that lends blobs is shorter than it was");
            return Ok(None);
        }
        Ok(Some(Blob::part(file, place)))
    }

    /// What is lent at this moment.
    pub(crate) fn known(&self, layout: &Layout) -> Result<Arc<Known>, StoreError> {
        let known = self.0.load_full();
        let stamps = look(layout)?;
        if stamps == known.stamps {
            return Ok(known);
        }
        let bundles = stamps.iter().filter_map(|stamp| known.renewed(layout, stamp).transpose());
        let renewed = Arc::new(Known { bundles: bundles.collect::<Result<_, _>>()?, stamps });
        self.0.store(renewed.clone());
        Ok(renewed)
    }
}

impl Known {
    /// Every blob that is lent, or would be if it were no file, with its size.
    pub(crate) fn blobs(&self) -> HashMap<Digest, u64> {
        let parts = self.bundles.iter().flat_map(Bundle::parts);
        parts.map(|(digest, part)| (digest.clone(), part.size)).collect()
    }

    fn place(&self, layout: &Layout, digest: &Digest) -> Option<Place> {
        let of_bundle = |bundle: &Bundle| Some((bundle.manifest.clone(), bundle.part(digest)?));
        let (manifest, part) = self.bundles.iter().find_map(of_bundle)?;
        Some(Place { path: layout.lender(&manifest), start: part.start, size: part.size, lender: Some(manifest) })
    }

    /// The bundle that `stamp` tells of, of which only that is read which was not known; none where it has gone meanwhile.
    fn renewed(&self, layout: &Layout, stamp: &Stamp) -> Result<Option<Bundle>, StoreError> {
        let is_same = |bundle: &&Bundle| (&bundle.manifest, bundle.inode) == (&stamp.manifest, stamp.inode);
        let withdrawn = Arc::new(read_withdrawn(&layout.withdrawn(&stamp.manifest))?);
        if let Some(bundle) = self.bundles.iter().find(is_same) {
            return Ok(Some(Bundle { withdrawn, ..bundle.clone() }));
        }
        let path = layout.lender(&stamp.manifest);
        let Some((file, _)) = open_file(&path)? else { return Ok(None) };
        let contents = match Contents::read(&file, &stamp.manifest) {
            Ok(contents) => Ok(contents),
            Err(Problem::Read(error)) => return Err(error).during("read", &path),
            Err(Problem::Form(problem)) => {
                tracing::error!(bundle = %path.display(), problem, "what a bundle lends is not known");
                Err(problem)
            }
        };
        let (manifest, inode) = (stamp.manifest.clone(), stamp.inode);
        Ok(Some(Bundle { manifest, inode, contents: Arc::new(contents), withdrawn }))
    }
}

impl Bundle {
    /// What it lends, or would if it were no file.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Digest, Part)> {
        let all = self.contents.as_ref().as_ref().ok().into_iter().flat_map(|contents| &contents.parts);
        all.filter(|(digest, _)| !self.withdrawn.contains(*digest)).map(|(digest, part)| (digest, *part))
    }

    /// Where the blob `digest` stands in it, if it lends that.
    pub(crate) fn part(&self, digest: &Digest) -> Option<Part> {
        let contents = self.contents.as_ref().as_ref().ok()?;
        contents.parts.get(digest).copied().filter(|_| !self.withdrawn.contains(digest))
    }
}

/// What stands in `lent/`, sorted; nothing in a store that never took a bundle in.
fn look(layout: &Layout) -> Result<Vec<Stamp>, StoreError> {
    let folder = layout.lent();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.during("read", &folder)?,
    };
    let mut stamps = Vec::new();
    for entry in entries {
        let entry = entry.during("read", &folder)?;
        let Some(manifest) = manifest_of(&entry.file_name(), BUNDLE_END) else { continue };
        let withdrawn = size_of_file(&layout.withdrawn(&manifest))?.unwrap_or(0);
        stamps.push(Stamp { manifest, inode: entry.ino(), withdrawn });
    }
    stamps.sort();
    Ok(stamps)
}

/// The manifest that a file in `lent/` is called by, if its name ends with `end`.
pub(crate) fn manifest_of(name: &std::ffi::OsStr, end: &str) -> Option<Digest> {
    digest_of_name(name.to_str()?.strip_suffix(end)?)
}

/// The bundles, or lists, that a store has lost the other half of, and whatever else has no business in `lent/`.
pub(crate) fn foreign(layout: &Layout) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let folder = layout.lent();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.during("read", &folder)?,
    };
    let ours = [layout.migrating(), layout.migration_lock()];
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.during("read", &folder)?.path();
        let name = path.file_name().unwrap_or_default();
        let is_known = [BUNDLE_END, WITHDRAWN_END].into_iter().any(|end| manifest_of(name, end).is_some());
        if !is_known && !ours.contains(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// No list of what a bundle does not lend any more is longer, in bytes: two million digests.
const LONGEST_WITHDRAWN: u64 = 256 << 20;

/// The digests in the list at `path`. A line that a power loss has torn is none.
fn read_withdrawn(path: &Path) -> Result<HashSet<Digest>, StoreError> {
    let Some(bytes) = read_file(path, LONGEST_WITHDRAWN)? else { return Ok(HashSet::new()) };
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    Ok(lines.filter_map(|line| line.parse().ok()).collect())
}
