//! Bundles that lend: files as `bundle` makes them, as far as the store reads them, and a site that takes them in.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_store::lent::{Migrated, Migration, Offer};
use sealock_store::release::{Reference, ReferenceKind, Selection};
use sealock_store::{Published, Release, StoreError};
use sealock_trust::Digest;
use serde_json::json;

use crate::shelf::{Image, Shelf};
use crate::site::at;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const MIB: usize = 1 << 20;

/// A bundle of images.
pub(crate) struct Loan {
    pub(crate) sequence: u64,
    pub(crate) contents: Vec<&'static str>,
}

impl Loan {
    pub(crate) fn of(sequence: u64, contents: &[&'static str]) -> Self {
        Self { sequence, contents: contents.to_vec() }
    }

    pub(crate) fn images(&self) -> Vec<Image> {
        self.contents.iter().map(|content| Image::of(content)).collect()
    }

    /// The blobs, each once; some begin on a boundary of 4 KiB.
    fn blobs(&self) -> Vec<(Vec<u8>, usize)> {
        let (mut blobs, mut offset) = (Vec::<(Vec<u8>, usize)>::new(), 0_usize);
        for blob in self.images().iter().flat_map(Image::blobs) {
            if blobs.iter().any(|(known, _)| known == blob) {
                continue;
            }
            offset += 512;
            if blobs.len() % 2 == 0 {
                offset = offset.next_multiple_of(4096);
            }
            blobs.push((blob.to_vec(), offset));
            offset = (offset + blob.len()).next_multiple_of(512);
        }
        blobs
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let listed = |(blob, offset): &(Vec<u8>, usize)| json!({"digest": Digest::sha256(blob), "size": blob.len(), "offset": offset, "role": "layer"});
        let listed: Vec<_> = self.blobs().iter().map(listed).collect();
        json!({"format": "manifest/1.0", "sequence": self.sequence, "blobs": listed}).to_string().into_bytes()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest())
    }

    /// Everything that it has, its own manifest too.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        self.blobs().into_iter().map(|(blob, _)| blob).chain([self.manifest()]).collect()
    }

    /// Where the blob begins in the file.
    pub(crate) fn place_of(&self, blob: &[u8]) -> usize {
        MIB + self.blobs().into_iter().find(|(known, _)| known == blob).unwrap().1
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in [("oci-layout", b"{}".to_vec()), ("tuf/targets/manifest.json", self.manifest())] {
            bytes.extend_from_slice(&header(name, content.len()));
            bytes.extend_from_slice(&content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        let pad = header("pad", MIB - 512 - bytes.len());
        bytes.extend_from_slice(&pad);
        bytes.resize(MIB, 0);
        for (blob, offset) in self.blobs() {
            bytes.resize(MIB + offset, 0xee);
            bytes.extend_from_slice(&blob);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    /// Writes the bundle beside the store, unless it is there, and returns where.
    pub(crate) fn file(&self, shelf: &Shelf) -> PathBuf {
        let path = shelf.site.store.with_file_name(format!("bundle-{}.tar", self.sequence));
        std::fs::write(&path, self.bytes()).unwrap();
        // Whatever the umask of the test.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
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
        let blobs: Vec<_> = self.all().iter().map(|blob| Digest::sha256(blob)).collect();
        lock.hold(&digest, &blobs)?;
        let mut staging = lock.staging(&digest)?;
        staging.adopt(&offer)?;
        blobs.iter().for_each(|blob| staging.confirm(blob));
        let published = lock.publish(self.release(current.as_ref())?, Some(staging), &shelf.site.key)?;
        offer.give_up(&store, &digest)?;
        Ok(published)
    }

    pub(crate) fn release(&self, current: Option<&Published>) -> Result<Release, StoreError> {
        let reference = |(content, image): (&&str, &Image)| Reference {
            name: format!("registry.example/base/{}:1", content.replace(' ', "-")),
            kind: ReferenceKind::Image,
            digest: Digest::sha256(&image.manifest),
            media_type: MANIFEST.into(),
            subject: None,
            size: image.manifest.len() as u64,
            stream: "base".into(),
            vendor: None,
        };
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

fn header(name: &str, size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = b'0';
    block[257..263].copy_from_slice(b"ustar\0");
    block
}
