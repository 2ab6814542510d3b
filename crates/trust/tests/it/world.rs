//! A publisher with keys, a root and bundles' metadata.

use jiff::Timestamp;
use sealock_trust::tuf::{self, MetadataSet, RootSpec, StreamState, Terms, TrustError, Verified};
use sealock_trust::{FileKey, KeySet, Scheme, Signer};

pub(crate) const MANIFEST: &[u8] = br#"{"format":"manifest/1.0","stream":"base"}"#;

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    time("2026-11-23T12:00:00Z")
}

pub(crate) fn keys(count: usize) -> Vec<FileKey> {
    let scheme = |index| if index % 2 == 0 { Scheme::Ed25519 } else { Scheme::EcdsaP256 };
    (0..count).map(|index| FileKey::generate(scheme(index)).unwrap()).collect()
}

pub(crate) fn signers(keys: &[FileKey]) -> Vec<&dyn Signer> {
    keys.iter().map(|key| key as &dyn Signer).collect()
}

pub(crate) fn key_set(keys: &[FileKey], threshold: u32) -> KeySet {
    KeySet::new(keys.iter().map(|key| key.public_key().clone()), threshold).unwrap()
}

/// Two root keys and two publisher keys, both of each needed.
pub(crate) struct Publisher {
    pub(crate) root_keys: Vec<FileKey>,
    pub(crate) keys: Vec<FileKey>,
    pub(crate) roots: Vec<Vec<u8>>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let (root_keys, keys) = (keys(2), keys(2));
        let spec = root_spec(&root_keys, &keys);
        let root = tuf::create_root(&spec, &signers(&root_keys)).unwrap();
        Self { root_keys, keys, roots: vec![root] }
    }

    /// The root that a site has enrolled.
    pub(crate) fn first_root(&self) -> &[u8] {
        &self.roots[0]
    }

    /// Adds a root with new root keys and new publisher keys.
    pub(crate) fn rotate(&mut self) {
        self.rotate_to(keys(2), keys(2));
    }

    /// Adds a root with the given keys, signed by the root keys of before and after.
    pub(crate) fn rotate_to(&mut self, root_keys: Vec<FileKey>, publisher_keys: Vec<FileKey>) {
        let spec = root_spec(&root_keys, &publisher_keys);
        let old = std::mem::replace(&mut self.root_keys, root_keys);
        let all: Vec<&dyn Signer> = signers(&old).into_iter().chain(signers(&self.root_keys)).collect();
        let root = tuf::rotate_root(self.roots.last().unwrap(), &spec, &all).unwrap();
        self.keys = publisher_keys;
        self.roots.push(root);
    }

    pub(crate) fn sign(&self, sequence: u64) -> MetadataSet {
        self.sign_manifest(sequence, MANIFEST)
    }

    pub(crate) fn sign_manifest(&self, sequence: u64, manifest: &[u8]) -> MetadataSet {
        tuf::sign_manifest(&self.roots, manifest, &terms(sequence), &signers(&self.keys)).unwrap()
    }

    /// The verdict of a site that has enrolled the first root and accepted nothing yet.
    pub(crate) fn verify(&self, set: &MetadataSet) -> Result<Verified, TrustError> {
        self.verify_after(set, None)
    }

    pub(crate) fn verify_after(&self, set: &MetadataSet, state: Option<&StreamState>) -> Result<Verified, TrustError> {
        tuf::verify(self.first_root(), set, MANIFEST, now(), state)
    }

    /// What a site remembers that has accepted `sequence` as it is signed now.
    pub(crate) fn accepted(&self, sequence: u64) -> StreamState {
        self.verify(&self.sign(sequence)).unwrap().to_state(&"base".parse().unwrap(), None)
    }
}

pub(crate) fn root_spec(root_keys: &[FileKey], publisher_keys: &[FileKey]) -> RootSpec {
    RootSpec {
        expires: time("2029-01-01T00:00:00Z"),
        root: key_set(root_keys, 2),
        publisher: key_set(publisher_keys, 2),
        revoker: None,
    }
}

pub(crate) fn terms(sequence: u64) -> Terms {
    Terms { sequence, issued: time("2026-11-20T00:00:00Z"), expires: time("2027-11-20T00:00:00Z") }
}
