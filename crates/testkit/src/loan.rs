//! Bundles as far as a store reads them: a header with a manifest that is signed by nobody, and blobs behind it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealock_trust::Digest;
use serde_json::json;

/// Bytes of the header.
const HEADER: usize = 1 << 20;
const BLOCK: usize = 512;

/// A bundle that can lend its blobs.
#[derive(Clone, Debug)]
pub struct Loan {
    /// Its `manifest.json`.
    pub manifest: Vec<u8>,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its blobs, each once, in their order.
    pub blobs: Vec<Vec<u8>>,
    places: BTreeMap<Digest, usize>,
}

impl Loan {
    /// The bundle number `sequence` with these blobs. Every other one begins on a boundary of 4 KiB.
    pub fn of(sequence: u64, blobs: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let (mut kept, mut places, mut listed, mut end) = (Vec::new(), BTreeMap::new(), Vec::new(), 0_usize);
        for blob in blobs {
            let digest = Digest::sha256(&blob);
            if places.contains_key(&digest) {
                continue;
            }
            let mut offset = end + BLOCK;
            if kept.len() % 2 == 0 {
                offset = offset.next_multiple_of(4096);
            }
            end = (offset + blob.len()).next_multiple_of(BLOCK);
            listed.push(json!({"digest": digest, "size": blob.len(), "offset": offset, "role": "layer"}));
            places.insert(digest, HEADER + offset);
            kept.push(blob);
        }
        let manifest =
            json!({"format": "manifest/1.0", "sequence": sequence, "blobs": listed}).to_string().into_bytes();
        let mut bytes = header(&manifest);
        for blob in &kept {
            // What stands between blobs is none of them.
            bytes.resize(places[&Digest::sha256(blob)], 0xee);
            bytes.extend_from_slice(blob);
        }
        bytes.resize(HEADER + end + 2 * BLOCK, 0);
        Self { manifest, bytes, blobs: kept, places }
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// Everything that it lends: its blobs, and its manifest.
    pub fn lent(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.blobs.iter().chain([&self.manifest])
    }

    /// Where the blob begins in the file.
    pub fn place_of(&self, blob: &[u8]) -> usize {
        self.places[&Digest::sha256(blob)]
    }

    /// Writes it to `path`, so that nobody else can write there, whatever the umask is.
    pub fn write(&self, path: &Path) {
        fs::write(path, &self.bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Flips a bit of the blob in the bundle at `path`.
    pub fn rot(&self, path: &Path, blob: &[u8]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[self.place_of(blob) + 7] ^= 4;
        fs::write(path, bytes).unwrap();
    }
}

fn header(manifest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in [("oci-layout", b"{}".as_slice()), ("tuf/targets/manifest.json", manifest)] {
        bytes.extend_from_slice(&block(name, content.len()));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    let pad = block("pad", HEADER - BLOCK - bytes.len());
    bytes.extend_from_slice(&pad);
    bytes.resize(HEADER, 0);
    bytes
}

fn block(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(124, &format!("{size:011o}"));
    put(156, "0");
    put(257, "ustar\0");
    block
}
