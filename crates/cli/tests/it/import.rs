//! `sealock import`

use std::os::unix::fs::FileExt as _;

use crate::packager::{Packager, json};
use crate::sandbox::{Sandbox, steady};
use crate::site;

const BUNDLE: &str = "plant/plant-1.tar";

/// A station that believes the packager of the bundle beside it.
pub fn station(site_id: &str) -> Packager {
    let packager = Packager::new();
    packager.build();
    believe(&packager.sandbox, site_id);
    packager
}

/// Makes a station that believes the packager in the same sandbox; answers with the port of its registry.
pub fn believe(sandbox: &Sandbox, site_id: &str) -> u16 {
    let port = site::spec(sandbox, site_id);
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let sum = std::process::Command::new("sha256sum").arg(sandbox.join("plant/trust/root.json")).output();
    let sum = String::from_utf8(sum.expect("sha256sum").stdout).expect("text");
    let fingerprint = sum.split(' ').next().expect("a sum").to_owned();
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &fingerprint]);
    port
}

/// Every file of the store with its size.
pub fn store(sandbox: &Sandbox) -> Vec<(String, u64)> {
    fn walk(folder: &std::path::Path, found: &mut Vec<(String, u64)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            if metadata.is_dir() {
                walk(&path, found);
            } else if path.file_name().is_none_or(|name| name != "lock") {
                found.push((path.display().to_string(), metadata.len()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&sandbox.join("state/store"), &mut found);
    found.sort();
    found
}

#[test]
fn a_bundle_becomes_a_release() {
    let _steady = steady();
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!(sandbox.see(&["import", BUNDLE]));
    insta::assert_snapshot!("list", sandbox.see(&["release", "list"]));
    insta::assert_snapshot!("show", sandbox.see(&["release", "show"]));
    insta::assert_snapshot!("trust", sandbox.see(&["trust", "show"]));
}

#[test]
fn twice_changes_nothing() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    assert_eq!(json(&sandbox.must(&["import", BUNDLE, "-o", "json"]))["changed"], true);
    let before = store(sandbox);
    let again = json(&sandbox.must(&["import", BUNDLE, "-o", "json"]));
    assert_eq!((&again["changed"], &again["release"]), (&false.into(), &1.into()));
    assert_eq!(before, store(sandbox));
}

#[test]
fn a_dry_run_checks_and_writes_nothing() {
    let packager = station("plant-7");
    let before = store(&packager.sandbox);
    packager.sandbox.must(&["import", "--dry-run", BUNDLE]);
    assert_eq!(before, store(&packager.sandbox));
}

#[test]
fn another_sites_bundle_is_refused_and_the_store_is_what_it_was() {
    let _steady = steady();
    let packager = station("plant-8");
    let before = store(&packager.sandbox);
    insta::assert_snapshot!(packager.sandbox.see(&["import", BUNDLE]));
    assert_eq!(before, store(&packager.sandbox));
}

#[test]
fn a_flipped_byte_anywhere_is_refused_and_the_store_is_what_it_was() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let size = std::fs::metadata(sandbox.join(BUNDLE)).expect("a bundle").len();
    let before = store(sandbox);
    for at in [0, 700, 4096, 1 << 20, size / 2, size - 2000, size - 1] {
        std::fs::copy(sandbox.join(BUNDLE), sandbox.join("damaged.tar")).expect("a copy");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(sandbox.join("damaged.tar"));
        let file = file.expect("a bundle");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("a byte");
        file.write_all_at(&[byte[0] ^ 1], at).expect("writable");
        let seen = sandbox.see(&["import", "damaged.tar"]);
        assert!(seen.starts_with("exit code: 3\n") && seen.contains("error["), "byte {at}: {seen}");
        assert_eq!(before, store(sandbox), "byte {at}");
    }
}

#[test]
fn truncated_and_extended_bundles_are_refused() {
    let packager = station("plant-7");
    let sandbox = &packager.sandbox;
    let bytes = std::fs::read(sandbox.join(BUNDLE)).expect("a bundle");
    for (damaged, code) in
        [(bytes[..bytes.len() - 4096].to_vec(), "INCOMPLETE"), ([&bytes[..], &[0; 512]].concat(), "TRAILING")]
    {
        sandbox.write("damaged.tar", damaged);
        let seen = sandbox.see(&["import", "damaged.tar"]);
        assert!(seen.starts_with("exit code: 3\n") && seen.contains(&format!("error[{code}]")), "{seen}");
    }
}

#[test]
fn a_stranger_is_refused() {
    let _steady = steady();
    let packager = station("plant-7");
    std::fs::remove_dir_all(packager.sandbox.join("state/trust/roots")).expect("roots");
    std::fs::remove_file(packager.sandbox.join("state/trust/enrolments.json")).expect("enrolments");
    insta::assert_snapshot!(packager.sandbox.see(&["import", BUNDLE]));
}
