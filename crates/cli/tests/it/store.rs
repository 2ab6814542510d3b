//! `sealock store`, and what of `sealock release` decides what it keeps.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sealock_store::Store;
use sealock_testkit::corpus;

use crate::delta::blank;
use crate::packager::{self, Packager, json};
use crate::sandbox::{Sandbox, steady};
use crate::serve::{get, port, serve};
use crate::{import, site};

/// A station with two releases: the second has an image more.
fn two_releases() -> Packager {
    let packager = import::station("plant-7");
    packager.sandbox.must(&["import", "plant/plant-1.tar"]);
    next_bundle(&packager, 2);
    packager.sandbox.must(&["import", "plant/plant-2.tar"]);
    packager
}

/// Builds `plant/plant-<sequence>.tar`, which has an image that no other bundle has.
fn next_bundle(packager: &Packager, sequence: usize) {
    let image = format!("quay.io/team/only-in-{sequence}:1");
    packager.upstream.push(&image, &corpus::images(sequence + 1, 300_000)[sequence]);
    let more = format!("    - {{ref: \"{image}\", verify: {{unsigned: \"made for this test\"}}}}\n");
    packager.sandbox.write("plant/sealock.yaml", format!("{}{more}", packager::SPEC));
    packager.build();
}

fn store(sandbox: &Sandbox) -> Store {
    Store::open(&sandbox.join("state/store")).expect("a store")
}

/// The largest blob: a layer.
fn layer(sandbox: &Sandbox) -> PathBuf {
    let blobs = std::fs::read_dir(sandbox.join("state/store/blobs/sha256")).expect("blobs");
    let mut blobs: Vec<_> = blobs.map(|entry| entry.expect("an entry").path()).collect();
    blobs.sort_by_key(|path| (std::fs::metadata(path).expect("metadata").len(), path.clone()));
    blobs.pop().expect("a blob")
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[100] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    std::fs::write(path, bytes).expect("writable");
}

/// Makes nothing of the width of columns, which hangs on sizes that differ from run to run.
fn narrow() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r" {2,}", "  ");
    settings.bind_to_scope()
}

#[test]
fn garbage_is_shown_condemned_and_deleted() {
    let (_steady, _blank) = (steady(), blank());
    let _narrow = narrow();
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("gc_nothing", sandbox.see(&["store", "gc"]));
    sandbox.must(&["release", "rollback", "1", "--yes"]);
    sandbox.must(&["release", "retire", "2", "--yes"]);
    let before = import::store(sandbox);
    insta::assert_snapshot!("gc_dry_run", sandbox.see(&["store", "gc", "--dry-run"]));
    assert_eq!(before, import::store(sandbox));
    insta::assert_snapshot!("gc_condemned", sandbox.see(&["store", "gc", "--grace", "0s"]));
    insta::assert_snapshot!("gc_asks", sandbox.see(&["store", "gc", "--grace", "0s"]));
    let deleted = json(&sandbox.must(&["store", "gc", "--grace", "0s", "--yes", "-o", "json"]));
    assert!(deleted["deleted"]["blobs"].as_u64() > Some(3), "{deleted}");
    insta::assert_snapshot!("gc_status", status(sandbox));
    insta::assert_snapshot!("gc_list", sandbox.see(&["release", "list"]));
    insta::assert_snapshot!("gc_check", sandbox.see(&["store", "check", "--deep"]));

    // What is gone can come again: its release is live no more.
    sandbox.must(&["release", "unhold", "base", "--yes"]);
    let again = json(&sandbox.must(&["import", "plant/plant-2.tar", "-o", "json"]));
    assert_eq!((&again["changed"], &again["release"]), (&true.into(), &5.into()));
    sandbox.must(&["store", "check", "--deep"]);
}

fn status(sandbox: &Sandbox) -> String {
    sandbox.see(&["store", "status"]).replace("GiB", "MiB").replace("TiB", "MiB")
}

#[test]
fn retention_retires_what_nothing_was_made_from() {
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    sandbox.write("state/clusters/lab/applied.json", r#"{"release":{"number":1}}"#);
    let plan = json(&sandbox.must(&["store", "gc", "--retain", "0", "--dry-run", "-o", "json"]));
    assert_eq!(plan["plan"]["live"][1]["because"][0], "the cluster lab was made from it");
    std::fs::remove_file(sandbox.join("state/clusters/lab/applied.json")).expect("a plan");
    sandbox.must(&["release", "pin", "1"]);
    let plan = json(&sandbox.must(&["store", "gc", "--retain", "0", "--dry-run", "-o", "json"]));
    assert_eq!(plan["plan"]["live"][1]["because"][0], "it is pinned");
    sandbox.must(&["release", "unpin", "1"]);
    let outcome = json(&sandbox.must(&["store", "gc", "--retain", "0", "--yes", "-o", "json"]));
    assert_eq!(outcome["plan"]["retire"], serde_json::json!([1]));
    assert_eq!(json(&sandbox.must(&["release", "list", "-o", "json"]))[1]["live"], false);
}

#[test]
fn the_site_spec_says_how_many_releases_are_retained() {
    let sandbox = Sandbox::new();
    site::spec(&sandbox, "plant-7");
    let spec = sandbox.read("site.yaml") + "  retention: {releases: 3}\n";
    sandbox.write("site.yaml", spec);
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    assert!(sandbox.read("state/trust/site-root.json").len() > 100);
    let plan = json(&sandbox.must(&["store", "gc", "--dry-run", "-o", "json"]));
    assert_eq!(plan["plan"]["live"], serde_json::json!([]));
}

#[test]
fn beside_an_import_it_says_so_and_a_retry_helps() {
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    sandbox.must(&["release", "retire", "1", "--yes"]);
    let import = store(sandbox).lock().expect("the lock");
    let seen = sandbox.see(&["store", "gc"]);
    assert!(seen.starts_with("exit code: 4\n") && seen.contains("An import is at work"), "{seen}");
    drop(import);
    sandbox.must(&["store", "gc"]);
}

#[test]
fn in_doubt_nothing_is_deleted() {
    let (_steady, _blank) = (steady(), blank());
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    sandbox.must(&["release", "retire", "1", "--yes"]);
    let shown = json(&sandbox.must(&["release", "show", "-o", "json"]));
    let manifest = shown["references"][0]["digest"].as_str().expect("a digest").replace("sha256:", "");
    flip(&sandbox.join("state/store/blobs/sha256").join(manifest));
    insta::assert_snapshot!("gc_in_doubt", sandbox.see(&["store", "gc", "--grace", "0s"]));
    let seen = sandbox.see(&["store", "check"]);
    assert!(seen.starts_with("exit code: 1\n") && seen.contains("is damaged"), "{seen}");
    sandbox.must(&["store", "scrub", "--heal", "plant/plant-2.tar"]);
    sandbox.must(&["store", "gc", "--grace", "0s"]);
}

#[test]
fn rot_is_found_taken_out_and_healed() {
    let (_steady, _blank) = (steady(), blank());
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("scrub_whole", sandbox.see(&["store", "scrub"]));
    let layer = layer(sandbox);
    let whole = std::fs::read(&layer).expect("a layer");
    flip(&layer);
    insta::assert_snapshot!("scrub_rotten", sandbox.see(&["store", "scrub"]));
    assert!(!layer.exists());
    insta::assert_snapshot!("scrub_status", status(sandbox));
    insta::assert_snapshot!("scrub_check", sandbox.see(&["store", "check"]));

    // A bundle that is damaged at this very place heals nothing.
    let mut damaged = std::fs::read(sandbox.join("plant/plant-2.tar")).expect("a bundle");
    let at = damaged.windows(64).position(|bytes| bytes == &whole[..64]).expect("the layer in the bundle");
    damaged[at + 200] ^= 1;
    sandbox.write("damaged.tar", damaged);
    let seen = sandbox.see(&["store", "scrub", "--heal", "damaged.tar"]);
    assert!(seen.starts_with("exit code: 1\n") && !layer.exists(), "{seen}");

    insta::assert_snapshot!("scrub_healed", sandbox.see(&["store", "scrub", "--heal", "plant/plant-2.tar"]));
    assert_eq!(std::fs::read(&layer).expect("a layer"), whole);
    insta::assert_snapshot!("scrub_nothing", sandbox.see(&["store", "scrub", "--heal", "plant/plant-2.tar"]));
    sandbox.must(&["store", "check", "--deep"]);
    sandbox.must(&["store", "scrub", "--rate", "1G", "--older-than", "0s"]);
}

#[test]
fn the_running_server_collects_when_it_is_asked_to() {
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    sandbox.must(&["release", "retire", "1", "--yes"]);
    let port = port(sandbox);
    let _serving = serve(sandbox);
    get(sandbox, port, "/healthz", &[]);
    let outcome = json(&sandbox.must(&["store", "gc", "-o", "json"]));
    assert!(outcome["condemned"]["blobs"].as_u64() > Some(0), "{outcome}");
    assert_eq!(outcome["plan"]["doubts"], serde_json::json!([]));
    assert!(!sandbox.join("state/store/condemned").exists(), "the server keeps that in memory");
}

#[test]
fn a_site_goes_back_and_forward_again() {
    let (_steady, _blank) = (steady(), blank());
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("rollback_dry_run", sandbox.see(&["release", "rollback", "--dry-run"]));
    insta::assert_snapshot!("rollback_asks", sandbox.see(&["release", "rollback"]));
    insta::assert_snapshot!("rollback", sandbox.see(&["release", "rollback", "--yes"]));
    insta::assert_snapshot!("rollback_again", sandbox.see(&["release", "rollback", "1", "--yes"]));
    let shown = json(&sandbox.must(&["release", "show", "-o", "json"]));
    let names = shown["references"].to_string();
    assert!(!names.contains("only-in-2"), "{names}");

    next_bundle(&packager, 3);
    let before = import::store(sandbox);
    insta::assert_snapshot!("held", sandbox.see(&["import", "plant/plant-3.tar"]));
    assert_eq!(before, import::store(sandbox), "a refused bundle leaves nothing behind");

    insta::assert_snapshot!("unhold", sandbox.see(&["release", "unhold", "base", "--yes"]));
    let shown = json(&sandbox.must(&["release", "show", "-o", "json"]));
    assert_eq!(shown["streams"][0]["sequence"], 2, "the newest that was accepted");
    sandbox.must(&["import", "plant/plant-3.tar"]);
    insta::assert_snapshot!("unhold_again", sandbox.see(&["release", "unhold", "base", "--yes"]));
    insta::assert_snapshot!("history", sandbox.see(&["release", "list"]));
    sandbox.must(&["store", "check"]);
}

#[test]
fn a_release_that_something_was_made_from_is_retired_only_on_somebodys_word() {
    let (_steady, _blank) = (steady(), blank());
    let packager = two_releases();
    let sandbox = &packager.sandbox;
    sandbox.write("state/clusters/lab/applied.json", r#"{"release":{"number":1}}"#);
    sandbox.write("state/clusters/lab/apps/shop.json", r#"{"releases":[1]}"#);
    insta::assert_snapshot!("retire_in_use", sandbox.see(&["release", "retire", "1"]));
    insta::assert_snapshot!("retire_current", sandbox.see(&["release", "retire", "2", "--yes"]));
    insta::assert_snapshot!("retire", sandbox.see(&["release", "retire", "1", "--yes"]));
    insta::assert_snapshot!("retire_again", sandbox.see(&["release", "retire", "1", "--yes"]));
    insta::assert_snapshot!("rollback_retired", sandbox.see(&["release", "rollback", "1", "--yes"]));
    assert_eq!(sandbox.run(&["release", "retire", "9"]).status.code(), Some(1));
}
