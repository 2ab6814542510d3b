//! A site whose releases hold real images: manifests that lead to layers, and the `manifest.json` of each bundle.

use std::path::Path;

use sealock_store::gc::protocol::Terms;
use sealock_store::gc::{Collector, Moment, Offline, Outcome, Plan, Request};
use sealock_store::release::{Reference, ReferenceKind, Selection};
use sealock_store::{Bound, Published, Release, Store, StoreError};
use sealock_trust::Digest;
use serde_json::json;

use crate::site::{Site, at};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A grace and a lease of an hour.
pub(crate) const TERMS: Terms = Terms { lease: 3600, grace: 3600 };

pub(crate) struct Shelf {
    pub(crate) site: Site,
}

/// An image of one layer, which says `content`.
pub(crate) struct Image {
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn of(content: &str) -> Self {
        let layer = content.repeat(1000).into_bytes();
        let config = json!({"architecture": "amd64", "os": "linux", "comment": content}).to_string().into_bytes();
        let descriptor = |blob: &[u8]| json!({"mediaType": "application/octet-stream", "digest": Digest::sha256(blob), "size": blob.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(&config), "layers": [descriptor(&layer)]
        });
        Self { layer, config, manifest: manifest.to_string().into_bytes() }
    }

    pub(crate) fn blobs(&self) -> [&[u8]; 3] {
        [&self.layer, &self.config, &self.manifest]
    }

    pub(crate) fn digests(&self) -> [Digest; 3] {
        self.blobs().map(Digest::sha256)
    }

    /// As a bundle of `stream` names the image of this content.
    pub(crate) fn reference(&self, stream: &str, content: &str) -> Reference {
        Reference {
            name: format!("registry.example/{stream}/{}:1", content.replace(' ', "-")),
            kind: ReferenceKind::Image,
            digest: Digest::sha256(&self.manifest),
            media_type: MANIFEST.into(),
            subject: None,
            size: self.manifest.len() as u64,
            stream: stream.into(),
            vendor: None,
        }
    }
}

impl Shelf {
    pub(crate) fn new(folder: &Path) -> Self {
        let site = Site::new(folder);
        Store::init(&site.store).unwrap();
        Self { site }
    }

    /// Four releases of one stream: an image that all have, and one that each has alone.
    pub(crate) fn of_four(folder: &Path) -> Self {
        let shelf = Self::new(folder);
        for sequence in 1..=4 {
            shelf.publish("base", sequence, &["shared", &format!("only in {sequence}")]).unwrap();
        }
        shelf
    }

    pub(crate) fn store(&self) -> Store {
        self.site.open()
    }

    /// The `manifest.json` of a bundle, as far as the store reads it.
    pub(crate) fn bundle_manifest(sequence: u64, images: &[&str]) -> Vec<u8> {
        let images: Vec<_> = images.iter().map(|content| Image::of(content)).collect();
        let blobs = images.iter().flat_map(Image::blobs);
        let listed: Vec<_> = blobs.map(|blob| json!({"digest": Digest::sha256(blob), "size": blob.len()})).collect();
        json!({"format": "manifest/1.0", "sequence": sequence, "blobs": listed}).to_string().into_bytes()
    }

    pub(crate) fn publish(&self, stream: &str, sequence: u64, contents: &[&str]) -> Result<Published, StoreError> {
        let manifest = Self::bundle_manifest(sequence, contents);
        let digest = Digest::sha256(&manifest);
        let images: Vec<_> = contents.iter().map(|content| Image::of(content)).collect();
        let lock = self.store().lock()?;
        let current = lock.store().current_release(&self.site.keys())?;
        let mut staging = lock.staging(&digest)?;
        for blob in images.iter().flat_map(Image::blobs).chain([manifest.as_slice()]) {
            let name = Digest::sha256(blob);
            if !staging.holds(&name, blob.len() as u64)? {
                let mut writer = staging.write_blob(&name, blob.len() as u64)?;
                writer.push(blob)?;
                writer.finish()?;
            }
        }
        let reference = |(content, image): (&&str, &Image)| image.reference(stream, content);
        let references = contents.iter().zip(&images).map(reference).collect();
        let selection = Selection { stream: stream.into(), sequence, manifest: digest, held: false, publisher: None };
        let release = Release::after(current.as_ref(), selection, references, at(sequence))?;
        lock.publish(release, Some(staging), &self.site.key)
    }

    /// What a run would do `seconds` after the machine was started.
    pub(crate) fn plan(&self, retain: Option<u64>, seconds: u64) -> Plan {
        self.with_collector(seconds, |collector, _| collector.plan(&self.request(retain, &Bound::new()))).unwrap()
    }

    /// A run, `seconds` after the machine was started.
    pub(crate) fn collect(&self, retain: Option<u64>, seconds: u64) -> Result<Outcome, StoreError> {
        self.collect_bound(retain, &Bound::new(), seconds)
    }

    pub(crate) fn collect_bound(
        &self,
        retain: Option<u64>,
        bound: &Bound,
        seconds: u64,
    ) -> Result<Outcome, StoreError> {
        self.with_collector(seconds, |collector, offline| {
            let outcome = collector.collect(&self.request(retain, bound))?;
            offline.save()?;
            Ok(outcome)
        })
    }

    fn request<'a>(&'a self, retain: Option<u64>, bound: &'a Bound) -> Request<'a> {
        // Leaked: a test's few bytes.
        Request::new(Box::leak(Box::new(self.site.keys())), retain, bound)
    }

    fn with_collector<T>(
        &self,
        seconds: u64,
        work: impl FnOnce(Collector<'_>, &Offline) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.store();
        let moment = Moment { boot: "0f".into(), seconds };
        let offline = Offline::begin(&store, TERMS, moment)?;
        let clock = || offline.now();
        let collector = Collector {
            store: &store,
            guard: offline.guard(),
            clock: &clock,
            grace: TERMS.grace,
            at: at(9),
            stop: &|| false,
        };
        work(collector, &offline)
    }

    pub(crate) fn has(&self, content: &str) -> bool {
        let there = Image::of(content).digests().map(|digest| self.store().has_blob(&digest).unwrap());
        assert!(there.iter().all(|one| *one == there[0]), "half of {content} is there");
        there[0]
    }

    /// Makes a file of the store writable, and changes it.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
