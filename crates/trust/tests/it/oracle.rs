//! Another implementation's verdict: python-tuf must believe what we sign, and refuse what we refuse.
//!
//! Runs where `SEALOCK_ORACLES=1` is set, as `.ci/run` does; it needs `python3` with `tuf` and `securesystemslib[crypto]` (PyPI).
//! Where they are missing the test fails and says what to install.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealock_trust::tuf::{MetadataSet, rotate_root, verify};

use crate::world::{MANIFEST, Publisher, keys, now, root_spec, signers};

const MISSING: &str = "the oracle test needs python3 with two packages (`python3 -m venv VENV && VENV/bin/pip install \
    tuf 'securesystemslib[crypto]'`, and VENV/bin first in PATH), or SEALOCK_ORACLES unset";

fn python(script: &Path, arguments: &[&str]) -> Output {
    Command::new("python3").arg(script).args(arguments).output().unwrap_or_else(|error| panic!("{MISSING}: {error}"))
}

fn lay_out(folder: &Path, publisher: &Publisher, set: &MetadataSet, manifest: &[u8]) {
    fs::create_dir_all(folder.join("metadata")).unwrap();
    fs::create_dir_all(folder.join("targets")).unwrap();
    fs::write(folder.join("trusted-root.json"), publisher.first_root()).unwrap();
    for (name, bytes) in set.files() {
        fs::write(folder.join("metadata").join(name), bytes).unwrap();
    }
    fs::write(folder.join("targets/manifest.json"), manifest).unwrap();
}

/// Whether python-tuf's client, given the first root only, gets the manifest.
fn python_tuf_believes(publisher: &Publisher, set: &MetadataSet, manifest: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), publisher, set, manifest);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/python_tuf.py");
    let output = python(&script, &[folder.path().to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(stderr),
        _ => panic!("{MISSING}: {stderr}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a person chooses whether the oracles run")]
fn oracles_run() -> bool {
    std::env::var_os("SEALOCK_ORACLES").is_some_and(|value| value == "1")
}

#[test]
fn python_tuf_comes_to_the_same_verdict() {
    if !oracles_run() {
        eprintln!("skipped: SEALOCK_ORACLES=1 runs it");
        return;
    }
    let mut publisher = Publisher::new();
    publisher.rotate();
    publisher.rotate();
    let set = publisher.sign(7);
    python_tuf_believes(&publisher, &set, MANIFEST).unwrap();

    let stranger = Publisher::new();
    let cases = [
        ("another manifest", set.clone(), b"{}".as_slice()),
        ("foreign signatures", MetadataSet { roots: set.roots.clone(), ..stranger.sign(7) }, MANIFEST),
        ("mixed sequences", MetadataSet { timestamp: publisher.sign(6).timestamp, ..set.clone() }, MANIFEST),
        ("foreign root", usurped(&set), MANIFEST),
    ];
    for (name, set, manifest) in cases {
        assert!(verify(publisher.first_root(), &set, manifest, now(), None).is_err());
        assert!(python_tuf_believes(&publisher, &set, manifest).is_err(), "python-tuf believes {name}");
    }
}

/// The chain with a second root that only its own keys signed.
fn usurped(set: &MetadataSet) -> MetadataSet {
    let root_keys = keys(2);
    let root = rotate_root(&set.roots[&1], &root_spec(&root_keys, &keys(2)), &signers(&root_keys)).unwrap();
    let mut set = set.clone();
    set.roots.insert(2, root);
    set
}
