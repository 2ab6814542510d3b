//! `sealock store check --rebuild`

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use sealock_store::Store;
use sealock_store::gc::Guard;
use sealock_store::gc::protocol::Terms;
use sealock_store::oci::Manifest;
use sealock_store::pushed::{Demands, Moment, Pushed, PutManifest, Settings, Verdict};
use sealock_trust::{Algorithm, Digest};

use crate::sandbox::{Sandbox, steady};
use crate::site;

const COMMAND: &[&str] = &["store", "check", "--rebuild"];

fn station() -> Sandbox {
    let sandbox = Sandbox::new();
    site::spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    sandbox
}

/// As a server has it.
fn open(sandbox: &Sandbox) -> Pushed {
    let store = Store::open(&sandbox.join("state/store")).expect("a store");
    let guard = Arc::new(Guard::new(Terms { lease: 3600, grace: 3600 }, 0));
    let settings = Settings { headroom: 0, ..Settings::default() };
    Pushed::open(&store, &settings, guard, now()).expect("pushed content")
}

fn now() -> Moment {
    Moment { wall: Timestamp::from_second(1_790_000_000).expect("a time"), ticks: 0 }
}

/// A station to which an image was pushed.
fn pushed() -> Sandbox {
    let sandbox = station();
    let pushed = open(&sandbox);
    let who = Some("robot");
    let layer = b"a layer";
    let id = pushed.begin("team/app", who, Algorithm::Sha256, now()).expect("an upload").to_string();
    let mut append = pushed.append("team/app", who, &id, None).expect("an upload");
    append.write(layer, now()).expect("room");
    pushed.finish(append, ("team/app", who), &Digest::sha256(layer), now()).expect("a blob");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let descriptor = format!(r#"{{"mediaType":"application/x","digest":"{}","size":7}}"#, Digest::sha256(layer));
    let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{descriptor},"layers":[]}}"#);
    let manifest = Manifest::parse(Digest::sha256(bytes.as_bytes()), media_type, bytes.into_bytes().into());
    let put = PutManifest {
        repository: "team/app".into(),
        manifest: Arc::new(manifest.expect("a manifest")),
        tags: vec!["1".into(), "latest".into()],
        fixed: Vec::new(),
        demands: Demands::default(),
        verdict: Verdict { rule: "test".into(), policy_epoch: 1 },
    };
    pushed.put_manifest(put, who, now()).expect("an image");
    sandbox
}

fn index(sandbox: &Sandbox) -> PathBuf {
    sandbox.join("state/store/pushed/index.redb")
}

#[test]
fn where_nothing_was_pushed_there_is_nothing_to_do() {
    insta::assert_snapshot!("rebuild_nothing", station().see(COMMAND));
}

#[test]
fn a_damaged_index_is_made_anew() {
    let _steady = steady();
    let sandbox = pushed();
    insta::assert_snapshot!("rebuild_sound", sandbox.see(COMMAND));
    let sound = std::fs::read(index(&sandbox)).expect("an index");
    let damaged = &sound[..sound.len() / 2];
    sandbox.write("state/store/pushed/index.redb", damaged);
    insta::assert_snapshot!("rebuild_dry_run", sandbox.see(&[COMMAND, &["--dry-run"]].concat()));
    assert_eq!(std::fs::read(index(&sandbox)).expect("an index"), damaged, "it was only looked at");
    insta::assert_snapshot!("rebuild_damaged", sandbox.see(COMMAND));
    insta::assert_snapshot!("rebuild_again", sandbox.see(COMMAND));
    assert!(open(&sandbox).snapshot().repository("team/app").is_some_and(|it| it.tag("latest").is_some()));
}

#[test]
fn a_missing_index_is_made_anew() {
    let sandbox = pushed();
    std::fs::remove_file(index(&sandbox)).expect("an index");
    let shown = sandbox.must(&[COMMAND, &["-o", "json"]].concat());
    let mut shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert!(shown["index"]["milliseconds"].take().is_u64());
    insta::assert_snapshot!("rebuild_json", serde_json::to_string_pretty(&shown).expect("JSON"));
    assert!(index(&sandbox).exists());
}

#[test]
fn beside_a_server_it_is_refused() {
    let sandbox = pushed();
    let _server = open(&sandbox);
    let seen = sandbox.see(COMMAND).replace(&format!("(pid {})", std::process::id()), "(pid [PID])");
    insta::assert_snapshot!("rebuild_served", seen);
}

#[test]
fn a_pushed_manifest_that_is_gone_is_a_finding() {
    let _steady = steady();
    let sandbox = pushed();
    let pushed = open(&sandbox);
    let snapshot = pushed.snapshot();
    let tag = snapshot.repository("team/app").and_then(|it| it.tag("1")).expect("a tag");
    drop(pushed);
    std::fs::remove_file(sandbox.join("state/store/blobs/sha256").join(tag.digest.hex())).expect("a blob");
    insta::assert_snapshot!("rebuild_missing", sandbox.see(COMMAND));
    insta::assert_snapshot!("check_missing", sandbox.see(&["store", "check"]));
    insta::assert_snapshot!("gc_missing", sandbox.see(&["store", "gc", "--dry-run"]));
}
