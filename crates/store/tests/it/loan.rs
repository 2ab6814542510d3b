//! Bundles that lend: files as `bundle` makes them, as far as the store reads them, and a site that takes them in.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_store::lent::{Migrated, Migration, Offer};
use sealock_store::release::Selection;
use sealock_store::{Published, Release, StoreError};
use sealock_trust::Digest;

use crate::shelf::{Image, Shelf};
use crate::site::at;

/// A bundle of images.
pub(crate) struct Loan {
    pub(crate) sequence: u64,
    pub(crate) contents: Vec<&'static str>,
    pub(crate) bundle: sealock_testkit::loan::Loan,
}

impl Loan {
    pub(crate) fn of(sequence: u64, contents: &[&'static str]) -> Self {
        let images = contents.iter().map(|content| Image::of(content));
        let blobs = images.flat_map(|image| image.blobs().map(<[u8]>::to_vec));
        let bundle = sealock_testkit::loan::Loan::of(sequence, blobs);
        Self { sequence, contents: contents.to_vec(), bundle }
    }

    pub(crate) fn images(&self) -> Vec<Image> {
        self.contents.iter().map(|content| Image::of(content)).collect()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.bundle.digest()
    }

    /// Writes the bundle beside the store, and returns where.
    pub(crate) fn file(&self, shelf: &Shelf) -> PathBuf {
        let path = shelf.site.store.with_file_name(format!("bundle-{}.tar", self.sequence));
        self.bundle.write(&path);
        path
    }

    /// Where it stands once it was taken in.
    pub(crate) fn taken(&self, shelf: &Shelf) -> PathBuf {
        shelf.site.store.join("lent").join(format!("sha256-{}.tar", self.digest().hex()))
    }

    /// What an import in place does, as often as it takes: of a bundle that a release has already, only the end.
    pub(crate) fn take_in(&self, shelf: &Shelf, path: &Path) -> Result<Published, StoreError> {
        let store = shelf.store();
        let file = File::open(path).unwrap();
        let offer = Offer::new(&store, Arc::new(file), path)?;
        let (lock, digest) = (store.lock()?, self.digest());
        let current = store.current_release(&shelf.site.keys())?;
        if let Some(current) = current.clone().filter(|current| current.release.selects(&digest)) {
            lock.release_hold(&digest)?;
            offer.give_up(&store, &digest)?;
            return Ok(current);
        }
        let blobs: Vec<_> = self.bundle.lent().map(|blob| Digest::sha256(blob)).collect();
        lock.hold(&digest, &blobs)?;
        let mut staging = lock.staging(&digest)?;
        staging.adopt(&offer)?;
        blobs.iter().for_each(|blob| staging.confirm(blob));
        let published = lock.publish(self.release(current.as_ref())?, Some(staging), &shelf.site.key)?;
        offer.give_up(&store, &digest)?;
        Ok(published)
    }

    pub(crate) fn release(&self, current: Option<&Published>) -> Result<Release, StoreError> {
        let reference = |(content, image): (&&str, &Image)| image.reference("base", content);
        let references = self.contents.iter().zip(&self.images()).map(reference).collect();
        let (sequence, manifest) = (self.sequence, self.digest());
        let selection = Selection { stream: "base".into(), sequence, manifest, held: false, publisher: None };
        Release::after(current, selection, references, at(sequence))
    }
}

/// A pass that nothing slows down.
pub(crate) fn migrate(shelf: &Shelf) -> Result<Migrated, StoreError> {
    migrate_with(shelf, 0, &mut |_| std::ops::ControlFlow::Continue(()))
}

pub(crate) fn migrate_with(
    shelf: &Shelf,
    headroom: u64,
    pace: &mut dyn FnMut(u64) -> std::ops::ControlFlow<()>,
) -> Result<Migrated, StoreError> {
    let store = shelf.store();
    Migration { store: &store, guard: None, clock: &|| at(10), headroom, pace }.run()
}
