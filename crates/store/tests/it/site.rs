//! A site in a temporary folder: a store, its key, and bundles to import.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_store::operations::Operation;
use sealock_store::release::{Reference, ReferenceKind, Selection};
use sealock_store::{Published, Release, Store, StoreError};
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer};

pub(crate) struct Site {
    pub(crate) store: PathBuf,
    pub(crate) key: FileKey,
}

/// A bundle of one stream, with content that depends on its sequence.
#[derive(Clone, Copy)]
pub(crate) struct Bundle {
    pub(crate) stream: &'static str,
    pub(crate) sequence: u64,
}

impl Site {
    /// A site whose key stands beside its store, so that another process can use it.
    pub(crate) fn new(folder: &Path) -> Self {
        let key_file = folder.join("site.pem");
        if !key_file.exists() {
            FileKey::generate(Scheme::Ed25519).unwrap().save(&key_file, None).unwrap();
        }
        Self { store: folder.join("store"), key: FileKey::load(&key_file, None).unwrap() }
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::new([self.key.public_key().clone()], 1).unwrap()
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.store).unwrap()
    }

    pub(crate) fn current(&self) -> Option<Published> {
        self.open().current_release(&self.keys()).unwrap()
    }

    /// What an import does, as often as it takes: nothing is done twice.
    pub(crate) fn import(&self, bundle: Bundle) -> Result<Published, StoreError> {
        let lock = Store::init(&self.store)?.lock()?;
        let current = lock.store().current_release(&self.keys())?;
        if let Some(current) = &current
            && current.release.selects(&bundle.manifest())
        {
            lock.release_hold(&bundle.manifest())?;
            return Ok(current.clone());
        }
        let blobs = bundle.blobs();
        let digests: Vec<_> = blobs.iter().map(|blob| Digest::sha256(blob)).collect();
        lock.hold(&bundle.manifest(), &digests)?;
        let mut staging = lock.staging(&bundle.manifest())?;
        for (blob, digest) in blobs.iter().zip(&digests) {
            if staging.holds(digest, blob.len() as u64)? {
                continue;
            }
            let mut writer = staging.write_blob(digest, blob.len() as u64)?;
            for piece in blob.chunks(40_000) {
                writer.push(piece)?;
            }
            writer.finish()?;
        }
        let release = Release::after(current.as_ref(), bundle.selection(), bundle.references(), at(bundle.sequence))?;
        lock.publish(release, Some(staging), &self.key)
    }

    /// Everything that must hold of a store at rest, whatever happened to its writers.
    pub(crate) fn check(&self) {
        let store = self.open();
        let keys = self.keys();
        for published in store.releases(&keys).unwrap() {
            for reference in &published.release.references {
                let path = store.blob_path(&reference.digest);
                let content = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(Digest::sha256(&content), reference.digest);
            }
        }
        store.operations().unwrap();
    }

    /// Beyond [`Site::check`]: nothing is left over, and the log tells of the current release.
    pub(crate) fn check_clean(&self) {
        self.check();
        let store = self.open();
        assert_eq!(store.stagings().unwrap(), [] as [String; 0]);
        assert!(store.held_blobs().unwrap().is_empty());
        let last = store.operations().unwrap().pop().map(|record| record.operation);
        let number = store.current_number().unwrap().unwrap();
        assert_eq!(last, Some(Operation::Published { release: number }));
        let leftovers: Vec<_> =
            files(&self.store).into_iter().filter(|path| path.to_string_lossy().ends_with(".tmp")).collect();
        assert_eq!(leftovers, [] as [PathBuf; 0]);
    }
}

impl Bundle {
    pub(crate) fn manifest(self) -> Digest {
        Digest::sha256(format!("manifest of {} {}", self.stream, self.sequence).as_bytes())
    }

    /// One that all bundles share, a large one, an empty one.
    pub(crate) fn blobs(self) -> Vec<Vec<u8>> {
        let large = format!("{} {}\n", self.stream, self.sequence).repeat(10_000);
        vec![b"shared".to_vec(), large.into_bytes(), Vec::new()]
    }

    pub(crate) fn selection(self) -> Selection {
        Selection {
            stream: self.stream.into(),
            sequence: self.sequence,
            manifest: self.manifest(),
            held: false,
            publisher: None,
        }
    }

    pub(crate) fn references(self) -> Vec<Reference> {
        let blobs = self.blobs();
        let names = ["shared:1".to_owned(), format!("{}/large:{}", self.stream, self.sequence), "empty:1".to_owned()];
        let reference = |(name, blob): (String, &Vec<u8>)| Reference {
            name: format!("registry.example/{name}"),
            kind: ReferenceKind::Image,
            digest: Digest::sha256(blob),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            subject: None,
            size: blob.len() as u64,
            stream: self.stream.into(),
            vendor: None,
        };
        names.into_iter().zip(&blobs).map(reference).collect()
    }
}

pub(crate) fn at(sequence: u64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + i64::try_from(sequence).unwrap()).unwrap()
}

/// Every file and link under `folder`, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Fills the filesystem of `path` to the last byte.
pub(crate) fn fill_up(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [64 * 1024, 4096, 1] {
        let piece = vec![0; size];
        while file.write_all(&piece).is_ok() {}
    }
}
