//! A site in a folder, whose bundles hold real images, and whose registry takes pushes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sealock_store::pushed::{PushError, Pushed};
use sealock_store::release::Selection;
use sealock_store::{Published, Release, Store, StoreError};
use sealock_trust::Digest;

use super::told::Client;
use crate::pushed::support::{guard, moment, settings};
use crate::shelf::{Image, Shelf};
use crate::site::{Site, at, files};

pub(crate) use crate::pushed::support::WHO;

/// A site in a folder.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) site: Site,
}

impl Place {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), site: Site::new(folder) }
    }

    pub(crate) fn store(&self) -> Store {
        self.site.open()
    }

    /// A shelf on the same store, which collects.
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::new(&self.folder)
    }

    pub(crate) fn open(&self) -> Result<Pushed, PushError> {
        Pushed::open(&self.store(), &settings(), guard(), moment())
    }

    pub(crate) fn release(&self, number: u64) -> Option<Published> {
        self.store().release(number, &self.site.keys()).ok()
    }

    /// The bytes of a blob, where they are there and are the right ones.
    pub(crate) fn content(&self, digest: &str) -> Option<Vec<u8>> {
        let digest: Digest = digest.parse().unwrap();
        let mut bytes = Vec::new();
        self.store().open_blob(&digest).ok()??.read_to_end(&mut bytes).ok()?;
        (Digest::of(digest.algorithm(), &bytes) == digest).then_some(bytes)
    }

    /// Imports the bundle `sequence`, as often as it takes.
    pub(crate) fn import(&self, sequence: u64, client: &mut Client<'_>) -> Result<(), StoreError> {
        let contents = contents(sequence);
        let manifest = bundle_manifest(sequence);
        let name = Digest::sha256(&manifest);
        let lock = Store::init(&self.site.store)?.lock()?;
        let current = lock.store().current_release(&self.site.keys())?;
        if let Some(current) = current.as_ref().filter(|current| current.release.selects(&name)) {
            lock.release_hold(&name)?;
            self.tell(current, client);
            return Ok(());
        }
        let images: Vec<_> = contents.iter().map(|content| Image::of(content)).collect();
        let blobs: Vec<&[u8]> = images.iter().flat_map(Image::blobs).chain([manifest.as_slice()]).collect();
        let digests: Vec<Digest> = blobs.iter().map(|blob| Digest::sha256(blob)).collect();
        lock.hold(&name, &digests)?;
        let mut staging = lock.staging(&name)?;
        // As a layer from which another one is patched, and which nobody wants otherwise.
        let mut spare = staging.write_blob(&Digest::sha256(b"spare"), 5)?;
        spare.push(b"spare")?;
        spare.finish()?;
        for (blob, digest) in blobs.iter().zip(&digests) {
            if staging.holds(digest, blob.len() as u64)? {
                continue;
            }
            let mut writer = staging.write_blob(digest, blob.len() as u64)?;
            for piece in blob.chunks(8000) {
                writer.push(piece)?;
            }
            writer.finish()?;
        }
        staging.forget(&Digest::sha256(b"spare"))?;
        let selection = Selection { stream: "base".into(), sequence, manifest: name, held: false, publisher: None };
        let references =
            contents.iter().zip(&images).map(|(content, image)| image.reference("base", content)).collect();
        let release = Release::after(current.as_ref(), selection, references, at(sequence))?;
        client.changes("current");
        let published = lock.publish(release, Some(staging), &self.site.key)?;
        self.tell(&published, client);
        digests.iter().for_each(|digest| client.knows(&format!("stored {digest}"), "yes"));
        Ok(())
    }

    /// Whoever published it is told.
    pub(crate) fn tell(&self, published: &Published, client: &mut Client<'_>) {
        client.knows(&format!("release {}", published.release.number), &published.digest);
        client.knows("current", &published.release.number);
    }

    /// What is there that people may see, and what should not be left over; no logs.
    pub(crate) fn shape(&self) -> Vec<String> {
        let folders = ["blobs", "lent", "releases", "staging", "holds", "uploads", "quarantine"];
        let there = folders.iter().map(|folder| self.site.store.join(folder)).filter(|folder| folder.exists());
        let all = there.flat_map(|folder| files(&folder));
        let temporary = files(&self.site.store).into_iter().filter(|path| path.to_string_lossy().ends_with(".tmp"));
        let relative = |path: PathBuf| path.strip_prefix(&self.site.store).unwrap().to_string_lossy().into_owned();
        let mut shape: Vec<String> = all.chain(temporary).map(relative).collect();
        shape.extend(self.store().stagings().unwrap());
        shape
    }
}

/// Each bundle has one image that all have, and one that no other has.
fn contents(sequence: u64) -> [String; 2] {
    ["shared".to_owned(), format!("only in {sequence}")]
}

pub(crate) fn bundle_manifest(sequence: u64) -> Vec<u8> {
    let contents = contents(sequence);
    Shelf::bundle_manifest(sequence, &contents.each_ref().map(String::as_str))
}

/// A folder that is gone when it is dropped: in memory where there is room, since what a crash leaves is decided here and not by a disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let in_memory = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// Copies everything in `from` into the folder `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else if kind.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}
