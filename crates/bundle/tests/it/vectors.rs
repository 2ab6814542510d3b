//! Test vectors: a lock, and the bundle that it determines, to the byte, for whoever writes a second implementation.
//!
//! Signed with the Ed25519 key of the crate `trust`, whose signatures are the same each time. A change here is a change of a
//! published format: the format's page changes with it.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::Archive;
use sealock_trust::tuf::{RootSpec, create_root};
use sealock_trust::{Digest, FileKey, KeySet, Passphrase, Scheme, Signer as _};

use crate::support::{Cargo, Publisher, Site, noise, time};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors").join(name)
}

fn check(name: &str, bytes: &[u8]) {
    let path = testdata(name);
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        let made = std::env::temp_dir().join(name);
        fs::write(&made, bytes).unwrap();
        panic!("{} is not what was made now, see {}", path.display(), made.display());
    }
}

fn publisher() -> Publisher {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trust/testdata/openssl/ed25519.pbkdf2.pem");
    let key = FileKey::load(&path, Passphrase::new("correct-horse").as_ref()).unwrap();
    let set = KeySet::new([key.public_key().clone()], 1).unwrap();
    let expires = time("2030-01-01T00:00:00Z");
    let spec = RootSpec { expires, root: set.clone(), publisher: set, revoker: None };
    let root = create_root(&spec, &[&key]).unwrap();
    Publisher { keys: vec![key], revoker: FileKey::generate(Scheme::Ed25519).unwrap(), root }
}

/// An entry of each shape: a generated one, a small one, one that is aligned.
fn cargo() -> Cargo {
    let mut cargo = Cargo::of_files("base", 1, &[("small", b"hello\n".to_vec()), ("aligned", noise(3, 64 << 10))]);
    cargo.lock.publisher_keys = 1;
    cargo
}

#[test]
fn the_lock_and_its_bundle_are_as_published() {
    let (folder, publisher, cargo) = (tempfile::tempdir().unwrap(), publisher(), cargo());
    let bundle = cargo.build(folder.path(), &publisher);
    let bytes = fs::read(&bundle).unwrap();
    let archive = Archive::open(&bundle).unwrap();
    check("root.json", &publisher.root);
    check("sealock.lock", &cargo.lock.to_bytes().unwrap());
    check("manifest.json", archive.manifest_bytes());
    // What follows in the header are zeros, up to 1 MiB.
    let pad = bytes.windows(4).position(|window| window == b"pad\0").unwrap() + 512;
    assert!(bytes[pad..1 << 20].iter().all(|byte| *byte == 0));
    check("header.bin", &bytes[..pad]);
    // The payload, but for the 64 KiB of noise in it.
    let manifest = archive.unverified_manifest().unwrap();
    let noise = manifest.blobs.iter().find(|blob| blob.size == 64 << 10).unwrap();
    let start = (1 << 20) + usize::try_from(noise.offset.unwrap()).unwrap();
    check("payload-before-noise.bin", &bytes[1 << 20..start]);
    check("payload-after-noise.bin", &bytes[start + (64 << 10)..]);
    check("bundle.sha256", format!("{}\n", Digest::sha256(&bytes).hex()).as_bytes());
}

#[test]
fn the_published_bundle_is_imported() {
    let parts = ["payload-before-noise.bin", "payload-after-noise.bin"].map(|name| fs::read(testdata(name)).unwrap());
    let mut bytes = fs::read(testdata("header.bin")).unwrap();
    bytes.resize(1 << 20, 0);
    let bytes = [bytes, parts[0].clone(), noise(3, 64 << 10), parts[1].clone()].concat();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.tar");
    fs::write(&bundle, bytes).unwrap();
    Site::new(&publisher()).import(&bundle).unwrap();
}
