//! `sealock import --in-place`, `sealock store migrate`, and what `store status` says between them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use crate::packager::{Packager, json};
use crate::sandbox::{Sandbox, steady, without_progress};
use crate::serve::{get, port, serve};
use crate::{import, site};

const BUNDLE: &str = "plant/plant-1.tar";

/// A station that believes the packager of the bundle beside it, which nobody else can write.
fn station() -> Packager {
    let packager = import::station("plant-7");
    mode(&packager.sandbox, 0o644);
    packager
}

fn mode(sandbox: &Sandbox, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(sandbox.join(BUNDLE), permissions).expect("permissions");
}

/// The bundle that the store has taken in.
fn taken(sandbox: &Sandbox) -> PathBuf {
    let entries = std::fs::read_dir(sandbox.join("state/store/lent")).expect("a folder");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.extension().is_some_and(|end| end == "tar")).expect("a bundle")
}

/// Makes nothing of sizes, which differ from run to run, and of the columns that hang on them.
fn sizes() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r" {2,}", "  ");
    settings.add_filter(r"[0-9.]+ (KiB|MiB|GiB|TiB|B)\b", "[size]");
    settings.bind_to_scope()
}

fn status(sandbox: &Sandbox) -> serde_json::Value {
    json(&sandbox.must(&["store", "status", "-o", "json"]))
}

#[test]
fn a_bundle_is_served_as_it_is_and_migrated_by_hand() {
    let (_steady, _sizes) = (steady(), sizes());
    let packager = station();
    let sandbox = &packager.sandbox;
    let before = std::fs::metadata(sandbox.join(BUNDLE)).expect("a bundle").ino();
    insta::assert_snapshot!("in_place_dry_run", sandbox.see(&["import", BUNDLE, "--in-place", "--dry-run"]));
    assert!(sandbox.join(BUNDLE).exists() && !sandbox.join("state/store/lent").exists());
    insta::assert_snapshot!("in_place", sandbox.see(&["import", BUNDLE, "--in-place"]));
    assert!(!sandbox.join(BUNDLE).exists());
    assert_eq!(std::fs::metadata(taken(sandbox)).expect("a bundle").ino(), before, "the file itself");
    insta::assert_snapshot!("in_place_status", sandbox.see(&["store", "status"]));
    let lent = status(sandbox)["lent"].clone();
    assert!(lent["bundles"] == 1 && lent["blobs"]["blobs"].as_u64() > Some(5), "{lent}");
    sandbox.must(&["store", "check", "--deep"]);
    sandbox.must(&["store", "scrub"]);
    sandbox.must(&["release", "show"]);

    insta::assert_snapshot!("migrate_dry_run", sandbox.see(&["store", "migrate", "--dry-run"]));
    insta::assert_snapshot!("migrate_no_room", sandbox.see(&["store", "migrate", "--headroom", "1000000G"]));
    insta::assert_snapshot!("migrate", sandbox.see(&["store", "migrate", "--headroom", "1K"]));
    insta::assert_snapshot!("migrate_nothing", sandbox.see(&["store", "migrate"]));
    insta::assert_snapshot!("migrated_status", sandbox.see(&["store", "status"]));
    assert_eq!(status(sandbox)["lent"], serde_json::json!({"bundles": 0, "blobs": {"blobs": 0, "bytes": 0}}));
    sandbox.must(&["store", "check", "--deep"]);
}

#[test]
fn what_cannot_be_taken_in_is_told_with_what_to_do() {
    let _steady = steady();
    let packager = station();
    let sandbox = &packager.sandbox;
    let before = import::store(sandbox);
    mode(sandbox, 0o666);
    insta::assert_snapshot!("in_place_writable", sandbox.see(&["import", BUNDLE, "--in-place"]));
    insta::assert_snapshot!("in_place_writable_dry", sandbox.see(&["import", BUNDLE, "--in-place", "--dry-run"]));
    mode(sandbox, 0o644);
    std::os::unix::fs::symlink("plant-1.tar", sandbox.join("plant/link.tar")).expect("a link");
    insta::assert_snapshot!("in_place_link", sandbox.see(&["import", "plant/link.tar", "--in-place"]));
    std::fs::create_dir(sandbox.join("media")).expect("a folder");
    sandbox.must(&["send", BUNDLE, "--to", "media", "--volume-size", "1MiB"]);
    insta::assert_snapshot!("in_place_volumes", sandbox.see(&["import", "media", "--in-place"]));
    assert_eq!(import::store(sandbox), before);
    assert!(sandbox.join(BUNDLE).exists());
}

/// `/dev/shm` is a filesystem of its own on every Linux.
#[test]
fn a_bundle_on_another_filesystem_stays_there() {
    let _steady = steady();
    let packager = station();
    let sandbox = &packager.sandbox;
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let path = elsewhere.path().join("plant-1.tar");
    std::fs::copy(sandbox.join(BUNDLE), &path).expect("a copy");
    let text = path.to_str().expect("a path");
    let seen = sandbox.see(&["import", text, "--in-place"]);
    insta::assert_snapshot!("in_place_elsewhere", seen.replace(elsewhere.path().to_str().expect("a path"), "/mnt"));
    assert!(path.exists());
    sandbox.must(&["import", text]);
}

#[test]
fn a_strangers_bundle_is_refused_and_stays_where_it_is() {
    let packager = Packager::new();
    packager.build();
    let sandbox = &packager.sandbox;
    site::spec(sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let ordinary = sandbox.see(&["import", BUNDLE]);
    assert!(ordinary.starts_with("exit code: 3\n"), "{ordinary}");
    let in_place = sandbox.see(&["import", BUNDLE, "--in-place"]);
    assert_eq!(without_progress(&in_place), without_progress(&ordinary));
    assert!(sandbox.join(BUNDLE).exists());
}

#[test]
fn what_has_rotted_in_a_bundle_is_told_and_healed_from_another_copy() {
    let (_steady, _sizes) = (steady(), sizes());
    let packager = station();
    let sandbox = &packager.sandbox;
    std::fs::copy(sandbox.join(BUNDLE), sandbox.join("copy.tar")).expect("a copy");
    sandbox.must(&["import", BUNDLE, "--in-place"]);
    let bundle = taken(sandbox);
    let mut bytes = std::fs::read(&bundle).expect("a bundle");
    // In the middle of the largest layers, which come last but for the blobs that are generated.
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 1;
    std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    std::fs::write(&bundle, bytes).expect("writable");
    insta::assert_snapshot!("migrate_rotten", sandbox.see(&["store", "migrate", "--headroom", "1K"]));
    assert_eq!(status(sandbox)["quarantined"].as_array().map(Vec::len), Some(1));
    sandbox.must(&["store", "scrub", "--heal", "copy.tar"]);
    sandbox.must(&["store", "check", "--deep"]);
    assert_eq!(status(sandbox)["quarantined"], serde_json::json!([]));
}

#[test]
fn a_running_server_serves_it_and_migrates_when_it_is_asked_to() {
    let packager = station();
    let sandbox = &packager.sandbox;
    let port = port(sandbox);
    let _serving = serve(sandbox);
    get(sandbox, port, "/healthz", &[]);
    sandbox.must(&["import", BUNDLE, "--in-place"]);
    let lent = get(sandbox, port, "/v2/docker.io/library/web/manifests/2", &[]);
    let outcome = json(&sandbox.must(&["store", "migrate", "-o", "json"]));
    assert!(outcome["left"]["blobs"] == 0 && outcome["rotten"] == serde_json::json!([]), "{outcome}");
    assert_eq!(status(sandbox)["lent"]["bundles"], 0);
    assert_eq!(get(sandbox, port, "/v2/docker.io/library/web/manifests/2", &[]), lent);
}
