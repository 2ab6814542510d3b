//! `sealock site update`, with real binaries.
//!
//! A second version is this very binary under another one: the line by which a binary says what it is (`src/identity.rs`) is
//! changed in a copy, which is an ELF program that runs, and calls itself so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sealock_trust::Digest;

use crate::import::believe;
use crate::packager::{Packager, SPEC, json};
use crate::sandbox::{Sandbox, steady};
use crate::serve::serve;

/// This binary, calling itself `version` (of as many characters as the real one) and an inside build.
fn real(version: &str) -> Vec<u8> {
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_sealock")).expect("the binary");
    let line = concat!("sealock-identity/1 ", env!("CARGO_PKG_VERSION"), " outside\n");
    let other = format!("sealock-identity/1 {version} inside \n");
    assert_eq!(line.len(), other.len(), "a version of another length");
    let at = memmem(&bytes, line.as_bytes()).expect("the line in the binary");
    bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
    bytes
}

fn memmem(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

fn write_program(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// A station with Sealock 0.1.0 in `bin/sealock`, and a bundle that brings `version`.
fn station(version: &str) -> Packager {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    write_program(&sandbox.join("bin/sealock"), &real("0.1.0"));
    carry(&packager, version);
    believe(sandbox, "plant-7");
    sandbox.must(&["import", "plant/plant-1.tar"]);
    packager
}

/// Locks and builds a bundle that brings `version`.
fn carry(packager: &Packager, version: &str) {
    let bytes = real(version);
    packager.sandbox.write("plant/dist/sealock", &bytes);
    let spec = format!("{SPEC}  sealock: [{{path: dist/sealock, digest: \"{}\"}}]\n", Digest::sha256(&bytes));
    packager.sandbox.write("plant/sealock.yaml", spec);
    packager.build();
}

const UPDATE: [&str; 4] = ["site", "update", "--path", "bin/sealock"];

fn update(more: &[&'static str]) -> Vec<&'static str> {
    [&UPDATE[..], more].concat()
}

/// What the installed binary says of itself.
fn says(sandbox: &Sandbox, name: &str) -> String {
    let output = Command::new(sandbox.join(name)).args(["version", "-o", "json"]).output().expect("it starts");
    assert!(output.status.success());
    let said = json(&String::from_utf8(output.stdout).expect("text"));
    format!("{} {}", said["version"].as_str().expect("a version"), said["build"].as_str().expect("a build"))
}

#[test]
fn a_station_updates_itself_from_an_accepted_bundle_and_goes_back() {
    let _steady = steady();
    let packager = station("0.2.0");
    let sandbox = &packager.sandbox;
    let seen = sandbox.see(&["inspect", "plant/plant-1.tar"]);
    assert!(
        seen.contains("brings Sealock  sealock/linux-amd64:0.2.0\n") && seen.contains(", 1 own binary\n"),
        "{seen}"
    );
    insta::assert_snapshot!("dry_run", sandbox.see(&update(&["--dry-run"])));
    assert_eq!(says(sandbox, "bin/sealock"), "0.1.0 inside");
    insta::assert_snapshot!("updated", sandbox.see(&update(&["--yes"])));
    assert_eq!(says(sandbox, "bin/sealock"), "0.2.0 inside");
    assert_eq!(says(sandbox, "bin/sealock.previous"), "0.1.0 inside");
    insta::assert_snapshot!("again", sandbox.see(&update(&["--yes"])));
    let log = sandbox.read("state/store/operations.log");
    assert!(log.contains("\"operation\":\"update\"") && log.contains("\"operation\":\"updated\""), "{log}");

    insta::assert_snapshot!("rolled_back", sandbox.see(&update(&["--rollback", "--yes"])));
    assert_eq!(says(sandbox, "bin/sealock"), "0.1.0 inside");
    // The updated binary updates itself.
    let own = |binary: &str, args: &[&str]| {
        let mut command = Command::new(sandbox.join(binary));
        command.args(args).current_dir(sandbox.path()).env_clear().env("HOME", sandbox.join("home"));
        let output = command.env("SEALOCK_STATE_DIR", sandbox.join("state")).output().expect("it starts");
        assert!(output.status.success(), "{}", sandbox.seen(&output));
    };
    own("bin/sealock", &["site", "update", "--yes"]);
    assert_eq!(says(sandbox, "bin/sealock"), "0.2.0 inside");
}

#[test]
fn an_older_one_is_refused_unless_it_is_allowed() {
    let _steady = steady();
    let packager = station("0.0.9");
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("older", sandbox.see(&update(&["--yes"])));
    assert_eq!(says(sandbox, "bin/sealock"), "0.1.0 inside");
    insta::assert_snapshot!("unknown_version", sandbox.see(&update(&["--yes", "--to", "0.7.7"])));
    sandbox.must(&update(&["--yes", "--allow-downgrade"]));
    assert_eq!(says(sandbox, "bin/sealock"), "0.0.9 inside");
}

#[test]
fn a_revoked_bundle_updates_nothing() {
    let _steady = steady();
    let packager = station("0.2.0");
    let sandbox = &packager.sandbox;
    let manifest = json(&sandbox.must(&["inspect", "plant/plant-1.tar", "-o", "json"]))["digest"].clone();
    let revoke = ["trust", "revoke", "--root", "plant/trust/root.json", "--list", "revocations.json"];
    let by = ["--digest", manifest.as_str().expect("a digest"), "--reason", "stolen", "--key", "plant/keys/root.pem"];
    sandbox.must(&[&revoke[..], &by[..]].concat());
    sandbox.must(&["import", "revocations.json"]);
    insta::assert_snapshot!(sandbox.see(&update(&["--yes"])));
    assert_eq!(says(sandbox, "bin/sealock"), "0.1.0 inside");
    assert!(!sandbox.join("bin/sealock.new").exists());
}

#[test]
fn a_server_that_runs_is_to_be_restarted() {
    let packager = station("0.2.0");
    let sandbox = &packager.sandbox;
    let serving = serve(sandbox);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !sandbox.join("state/control.sock").exists() {
        assert!(std::time::Instant::now() < deadline, "the server does not listen after 20 s");
        std::thread::yield_now();
    }
    let seen = sandbox.see(&update(&["--yes"]));
    assert!(seen.contains("the server goes on with the old binary until it is restarted"), "{seen}");
    drop(serving);
}

#[test]
fn an_outside_build_or_another_file_is_not_carried() {
    let _steady = steady();
    let packager = Packager::new();
    let lock = |bytes: &[u8], digest: &Digest| {
        packager.sandbox.write("plant/dist/sealock", bytes);
        let spec = format!("{SPEC}  sealock: [{{path: dist/sealock, digest: \"{digest}\"}}]\n");
        packager.sandbox.write("plant/sealock.yaml", spec);
        packager.sandbox.see(&["lock", "-f", "plant/sealock.yaml"])
    };
    let outside = fs::read(env!("CARGO_BIN_EXE_sealock")).expect("the binary");
    insta::assert_snapshot!("outside_build", lock(&outside, &Digest::sha256(&outside)));
    insta::assert_snapshot!("no_program", lock(b"#!/bin/sh\n", &Digest::sha256(b"#!/bin/sh\n")));
    insta::assert_snapshot!("another_digest", lock(b"#!/bin/sh\n", &Digest::sha256(b"x")));
}
