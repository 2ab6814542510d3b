//! What refers to one manifest, read from the store within bounds.

use std::io::Read;

use bytes::Bytes;
use sealock_store::Store;
use sealock_store::oci::{Descriptor, Manifest};
use sealock_trust::Digest;

use crate::rules::{LONGEST_EVIDENCE, Referrer};

/// What is read of all that refers to one manifest, in bytes: whoever may push can bring any number of referrers.
const MOST: u64 = 64 << 20;

/// Reads the referrers of one manifest, as long as there is room for what they hold.
pub(crate) struct Evidence<'a> {
    store: &'a Store,
    /// What may be read still, in bytes.
    room: u64,
}

impl<'a> Evidence<'a> {
    /// For one manifest whose referrers are in `store`.
    pub(crate) fn of(store: &'a Store) -> Self {
        Self { store, room: MOST }
    }

    /// A referrer with those of its layers that are at hand. What is not vouches for nothing.
    pub(crate) fn referrer<'b>(&mut self, manifest: &'b Manifest) -> Referrer<'b> {
        let layers = manifest.parts.layers.iter().filter_map(|layer| self.layer(layer));
        Referrer { bytes: &manifest.bytes, layers: layers.collect() }
    }

    /// A layer as it is in the store, if it is what its digest says, and there is room for it.
    fn layer(&mut self, layer: &Descriptor) -> Option<(Digest, Bytes)> {
        let blob = self.store.open_blob(&layer.digest).ok()??;
        let size = blob.size();
        if size > self.room.min(LONGEST_EVIDENCE as u64) {
            return None;
        }
        self.room -= size;
        let mut bytes = Vec::new();
        blob.take(size).read_to_end(&mut bytes).ok()?;
        let is_it = Digest::of(layer.digest.algorithm(), &bytes) == layer.digest;
        is_it.then(|| (layer.digest.clone(), bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct World {
        store: Store,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            Store::init(&path).unwrap();
            Self { store: Store::open(&path).unwrap(), _folder: folder }
        }

        /// A referrer whose only layer is `content`, which stands in the store as `stored`.
        fn referrer(&self, content: &[u8], stored: &[u8]) -> Manifest {
            let digest = Digest::sha256(content);
            let path = self.store.blob_path(&digest);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, stored).unwrap();
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let descriptor = json!({"mediaType": "text/spdx", "digest": digest, "size": content.len()});
            let manifest =
                json!({"schemaVersion": 2, "mediaType": media_type, "config": descriptor, "layers": [descriptor]});
            Manifest::parse(digest, media_type, serde_json::to_vec(&manifest).unwrap().into()).unwrap()
        }
    }

    fn held(evidence: &mut Evidence<'_>, manifest: &Manifest) -> usize {
        evidence.referrer(manifest).layers.len()
    }

    /// Sixteen mebibytes are read four times, and then nothing is, be it ever so short.
    #[test]
    fn all_referrers_of_a_manifest_share_one_bound() {
        let world = World::new();
        let long = world.referrer(&[1; LONGEST_EVIDENCE], &[1; LONGEST_EVIDENCE]);
        let short = world.referrer(b"short", b"short");
        let mut evidence = Evidence::of(&world.store);
        assert_eq!(std::iter::repeat_with(|| held(&mut evidence, &long)).take(5).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
        assert_eq!((evidence.room, held(&mut evidence, &short)), (0, 0));
        assert_eq!(held(&mut Evidence::of(&world.store), &short), 1, "each manifest has a bound of its own");
    }

    #[test]
    fn what_is_longer_than_evidence_is_takes_no_room() {
        let world = World::new();
        let too_long = world.referrer(&[1; LONGEST_EVIDENCE + 1], &[1; LONGEST_EVIDENCE + 1]);
        let mut evidence = Evidence::of(&world.store);
        assert_eq!((held(&mut evidence, &too_long), evidence.room), (0, MOST));
    }

    #[test]
    fn what_rotted_vouches_for_nothing() {
        let world = World::new();
        let rotten = world.referrer(b"signature", b"signaturf");
        assert_eq!(held(&mut Evidence::of(&world.store), &rotten), 0);
    }
}
