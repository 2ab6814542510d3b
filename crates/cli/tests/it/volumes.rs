//! `sealock send` and `sealock repair`; `verify` and `import` of volumes

use std::path::PathBuf;

use crate::import::station;
use crate::packager::{Packager, json};
use crate::sandbox::steady;

const BUNDLE: &str = "plant/plant-1.tar";
const VERIFY: [&str; 5] = ["verify", "--root", "plant/trust/root.json", "--site", "plant-7"];

/// A packager with the folders `a` and `b`, to which the bundle was sent: two data volumes and one of parity.
fn sent() -> Packager {
    let packager = station("plant-7");
    folders(&packager);
    packager.sandbox.must(&["send", BUNDLE, "--to", "a", "--to", "b", "--volume-size", "1MiB", "--parity", "50%"]);
    packager
}

fn folders(packager: &Packager) {
    for folder in ["a", "b"] {
        std::fs::create_dir(packager.sandbox.join(folder)).expect("a folder");
    }
}

fn names(packager: &Packager) -> Vec<String> {
    let folders = ["a", "b"].map(|folder| std::fs::read_dir(packager.sandbox.join(folder)).expect("a folder"));
    let path = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").path();
    let paths: Vec<PathBuf> = folders.into_iter().flatten().map(path).collect();
    let relative = |path: &PathBuf| path.strip_prefix(packager.sandbox.path()).expect("below").display().to_string();
    let mut names: Vec<String> = paths.iter().map(relative).collect();
    names.sort();
    names
}

#[test]
fn a_bundle_is_sent_to_two_media_and_imported_from_them() {
    let _steady = steady();
    let packager = Packager::new();
    packager.build();
    folders(&packager);
    let sandbox = &packager.sandbox;
    let send = ["send", BUNDLE, "--to", "a", "--to", "b", "--volume-size", "1MiB", "--parity", "50%"];
    let planned = json(&sandbox.must(&[&send[..], &["--dry-run", "-o", "json"]].concat()));
    assert_eq!((planned["files"].as_array().map(Vec::len), names(&packager).len()), (Some(3), 0));
    insta::assert_snapshot!("send", sandbox.see(&send));
    insta::assert_snapshot!("again", sandbox.see(&send));
    let expected = [
        "a/plant-1.tar.001",
        "a/plant-1.tar.p001",
        "a/plant-1.tar.volumes.json",
        "b/plant-1.tar.002",
        "b/plant-1.tar.volumes.json",
    ];
    assert_eq!(names(&packager), expected);
    insta::assert_snapshot!("verify", sandbox.see(&[&VERIFY[..], &["b", "a"]].concat()));
}

#[test]
fn volumes_are_imported_from_media() {
    let packager = sent();
    let sandbox = &packager.sandbox;
    std::fs::rename(sandbox.join("a/plant-1.tar.001"), sandbox.join("b/one")).expect("a new name");
    sandbox.must(&["import", "--dry-run", "a", "b"]);
    assert_eq!(json(&sandbox.must(&["import", "a", "b", "-o", "json"]))["changed"], true);
    assert_eq!(json(&sandbox.must(&["import", BUNDLE, "-o", "json"]))["changed"], false);
}

#[test]
fn a_lost_volume_is_named_and_rebuilt() {
    let _steady = steady();
    let packager = sent();
    let sandbox = &packager.sandbox;
    std::fs::remove_file(sandbox.join("b/plant-1.tar.002")).expect("a volume");
    insta::assert_snapshot!("missing", sandbox.see(&[&VERIFY[..], &["a", "b"]].concat()));
    insta::assert_snapshot!("import", sandbox.see(&["import", "a", "b"]));
    insta::assert_snapshot!("repair", sandbox.see(&["repair", "a", "b", "--to", "whole.tar"]));
    sandbox.must(&[&VERIFY[..], &["whole.tar"]].concat());
    assert_eq!(std::fs::read(sandbox.join("whole.tar")).ok(), std::fs::read(sandbox.join(BUNDLE)).ok());

    sandbox.must(&["repair", "a", "b", "--in-place"]);
    sandbox.must(&[&VERIFY[..], &["a", "b"]].concat());
}

#[test]
fn damage_beyond_parity_is_told_exactly() {
    let _steady = steady();
    let packager = sent();
    let sandbox = &packager.sandbox;
    std::fs::remove_file(sandbox.join("b/plant-1.tar.002")).expect("a volume");
    let first = sandbox.join("a/plant-1.tar.p001");
    std::fs::remove_file(first).expect("a volume");
    insta::assert_snapshot!("beyond", sandbox.see(&[&VERIFY[..], &["a", "b"]].concat()));
    let seen = sandbox.see(&["repair", "a", "b", "--to", "whole.tar"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[VOLUME_SET]"), "{seen}");
    assert!(!sandbox.join("whole.tar").exists());
}

#[test]
fn a_damaged_medium_is_refused_and_lost_parity_only_told() {
    let packager = sent();
    let sandbox = &packager.sandbox;
    let path = sandbox.join("b/plant-1.tar.002");
    let mut bytes = std::fs::read(&path).expect("a volume");
    bytes.truncate(100_000);
    std::fs::write(&path, &bytes).expect("writable");
    let seen = sandbox.see(&["import", "a", "b"]);
    // Not one whole block of it is left, so nobody can tell what it is.
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("error[SET_MISMATCH]"), "{seen}");

    let packager = sent();
    let sandbox = &packager.sandbox;
    std::fs::remove_file(sandbox.join("a/plant-1.tar.p001")).expect("a volume");
    let seen = sandbox.see(&[&VERIFY[..], &["a", "b"]].concat());
    assert!(seen.starts_with("exit code: 0\n") && seen.contains("warning: 1 block of parity"), "{seen}");
}

#[test]
fn only_what_is_signed_is_sent_and_only_to_folders_that_are_there() {
    let packager = Packager::new();
    packager.build();
    folders(&packager);
    let seen = packager.sandbox.see(&["send", BUNDLE, "--to", "nowhere"]);
    assert!(seen.starts_with("exit code: 2\n") && seen.contains("nowhere is no folder"), "{seen}");
    let seen = packager.sandbox.see(&["send", BUNDLE, "--to", "a", "--parity", "10%"]);
    assert!(seen.starts_with("exit code: 2\n"), "{seen}");
    packager.sandbox.must(&["send", BUNDLE, "--to", "a", "--to", "b"]);
    assert_eq!(names(&packager), ["a/plant-1.tar", "b/plant-1.tar"]);
}
