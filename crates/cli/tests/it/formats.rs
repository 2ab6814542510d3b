//! Every format of ours as it was at 1.0, read by its reader of today; and other major versions, refused by name.
//!
//! The files in `testdata/formats/1.0/` are frozen: a later major's reader is held to them, and nobody writes them again.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sealock_bundle::delta::WantList;
use sealock_bundle::volumes::Index;
use sealock_bundle::{Lock, Manifest};
use sealock_cluster::Plan;
use sealock_cluster::apps::Revisions;
use sealock_cluster::backup::Manifest as BackupTable;
use sealock_cluster::backup::drill::Evidence as DrillRecord;
use sealock_cluster::backup::station::StationManifest as StationTable;
use sealock_cluster::machine::{BegunUpgrade, JoinFile};
use sealock_node::gap::{GapReport, GapRequest};
use sealock_node::{HostFacts, RunRequest, fence, journal};
use sealock_store::Store;
use sealock_store::pushed::{Moment, Pushed, Settings};
use sealock_trust::break_glass::BreakGlass;
use sealock_trust::directory::Mirror;
use sealock_trust::dsse::Envelope;
use sealock_trust::format::{self, Format, UnknownFormat};
use sealock_trust::reason::Code;
use sealock_trust::request::{RootDraft, SignatureFile, SigningRequest};
use sealock_trust::resolution::ResolveState;
use sealock_trust::revocation::RevocationList;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::tuf::Delegations;
use sealock_trust::{Digest, FileKey, KeySet, PublicKey, Scheme, Signer as _, SiteRoot, TrustDirectory, receipt};
use serde_json::Value;

use crate::sandbox::{Sandbox, steady};

type Read = fn(&[u8]) -> Result<(), Box<dyn Error>>;

/// How one format is read, and how a document of it gets another version.
struct Case {
    format: &'static Format,
    file: &'static str,
    read: Read,
    /// The same document with this in the place of its version.
    bend: fn(&[u8], &Format, &str) -> Vec<u8>,
}

/// Written, and read by nobody who acts on it.
const WRITTEN_ONLY: [&Format; 2] = [format::DIFF, format::VERDICTS];

/// Kept by nodes: held to in the tests of the crate `node`, which has their readers.
const OF_NODES: [&Format; 4] = [format::NODE_CHANGES, format::NODE_CLAIM, format::NODE_KEPT, format::NODE_KEPT_OBJECTS];

/// A version beside each patch in `manifest.json`: the crate `bundle` has the vectors of what it stands for.
const OF_PATCHES: [&Format; 1] = [format::LAYER_PATCH];

fn cases() -> Vec<Case> {
    macro_rules! case {
        ($format:ident, $file:literal, $bend:ident, $read:expr) => {
            Case { format: format::$format, file: $file, bend: $bend, read: $read }
        };
    }
    vec![
        case!(APP_REVISIONS, "app-revisions.json", plain, |bytes| done(Revisions::from_json(bytes))),
        case!(BACKUP, "backup.json", enveloped, |bytes| done(BackupTable::unverified(bytes))),
        case!(DRILL, "drill.json", enveloped, |bytes| done(DrillRecord::unverified(bytes))),
        case!(SITE_BACKUP, "site-backup.json", enveloped, |bytes| done(StationTable::unverified(bytes))),
        case!(LOCK, "sealock.lock", plain, |bytes| done(Lock::from_bytes(bytes))),
        case!(MANIFEST, "manifest.json", plain, |bytes| done(Manifest::from_bytes(bytes))),
        case!(VOLUMES, "volumes.json", plain, |bytes| done(Index::from_bytes(bytes))),
        case!(WANT_LIST, "want-list.json", plain, |bytes| done(WantList::from_bytes(bytes))),
        case!(PLAN, "plan.json", plain, |bytes| done(Plan::from_json(bytes))),
        case!(SIGNING_REQUEST, "bundle.request.json", plain, |bytes| done(SigningRequest::from_bytes(bytes))),
        case!(SIGNATURE, "bundle.signature.json", plain, |bytes| done(SignatureFile::from_bytes(bytes))),
        case!(ROOT_DRAFT, "2.root.draft.json", plain, |bytes| done(RootDraft::from_bytes(bytes))),
        case!(RECEIPT, "receipt.json", enveloped, |bytes| done(receipt::claimed_site(bytes))),
        case!(SITE_ROOT, "site-root.json", enveloped, |bytes| done(SiteRoot::open(bytes))),
        case!(REVOCATIONS, "revocations.json", enveloped, |bytes| done(RevocationList::read(bytes))),
        case!(BREAK_GLASS, "break-glass.json", enveloped, |bytes| done(BreakGlass::read(bytes))),
        case!(DELEGATIONS, "delegations.json", plain, |bytes| done(Delegations::from_bytes(bytes))),
        case!(RESOLVE_STATE, "resolve-state.json", enveloped, |bytes| done(ResolveState::read(bytes))),
        case!(TRUST_MIRROR, "trust-mirror.json", enveloped, mirror_signed_anew),
        case!(TRUST_STATE, "trust-state.json", enveloped, trust_state),
        case!(RELEASE, "release.json", enveloped, release_signed_anew),
        case!(STORE, "store-format", line, store),
        case!(PUSHED_LOG, "pushed-epoch.json", plain, pushed),
        case!(HOST_FACTS, "host-facts.json", plain, |bytes| looked::<HostFacts>(format::HOST_FACTS, bytes)),
        case!(GAP_REQUEST, "gap-request.json", plain, |bytes| looked::<GapRequest>(format::GAP_REQUEST, bytes)),
        case!(GAP_REPORT, "gap-report.json", plain, |bytes| looked::<GapReport>(format::GAP_REPORT, bytes)),
        case!(NODE_JOIN, "node-join.json", plain, |bytes| done(JoinFile::from_json(bytes))),
        case!(NODE_UPGRADE, "node-upgrade.json", plain, |bytes| done(BegunUpgrade::from_json(bytes))),
        case!(NODE_RUN, "node-run.json", plain, |bytes| looked::<RunRequest>(format::NODE_RUN, bytes)),
        case!(NODE_FENCE, "node-fence.json", plain, node_fence),
        case!(JOURNAL, "journal", eighth_byte, node_journal),
    ]
}

/// What was read matters only in that it was.
fn done<T, E: Error + 'static>(read: Result<T, E>) -> Result<(), Box<dyn Error>> {
    read.map(drop).map_err(Into::into)
}

/// What travels between station and node is read in two steps: the version, then the fields.
fn looked<T: serde::de::DeserializeOwned>(format: &'static Format, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    format.look(bytes)?;
    done(serde_json::from_slice::<T>(bytes))
}

fn in_folder(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a file");
    (folder, path)
}

fn trust_state(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let (folder, _) = in_folder("state.json", bytes);
    TrustDirectory::open(folder.path())?.generation()?;
    Ok(())
}

fn store(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let (folder, _) = in_folder("format", bytes);
    done(Store::open(folder.path()))
}

/// The version of the log of pushed content stands in a file beside it.
fn pushed(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::init(&folder.path().join("store"))?;
    fs::create_dir(store.path().join("pushed"))?;
    fs::write(store.path().join("pushed/epoch"), bytes)?;
    let now = Moment { wall: jiff::Timestamp::UNIX_EPOCH, ticks: 0 };
    let terms = sealock_store::gc::protocol::Terms { lease: 0, grace: 0 };
    let guard = std::sync::Arc::new(sealock_store::gc::Guard::new(terms, 0));
    Pushed::open(&store, &Settings::default(), guard, now)?;
    Ok(())
}

fn node_fence(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let (folder, _) = in_folder("fence", bytes);
    fence::current(folder.path())?.ok_or("there is no fence")?;
    Ok(())
}

fn node_journal(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let (_folder, path) = in_folder("journal", bytes);
    let records = journal::read(&path)?;
    if records.is_empty() { Err("there is no record".into()) } else { Ok(()) }
}

/// A release is believed before it is read, so whatever it says is signed first.
fn release_signed_anew(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = FileKey::generate(Scheme::Ed25519)?;
    let envelope: Value = serde_json::from_slice(bytes)?;
    let kind = envelope["payloadType"].as_str().unwrap_or_default().to_owned();
    let signed = Envelope::sign(&kind, &payload(&envelope), &[&key])?.to_json()?;
    release(&signed, &KeySet::new([key.public_key().clone()], 1)?).map(drop)
}

/// A mirror likewise, by the site that it names.
fn mirror_signed_anew(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = FileKey::generate(Scheme::Ed25519)?;
    let envelope: Value = serde_json::from_slice(bytes)?;
    let kind = envelope["payloadType"].as_str().unwrap_or_default().to_owned();
    let payload = payload(&envelope);
    let content: Value = serde_json::from_slice(&payload)?;
    let only = KeySet::new([key.public_key().clone()], 1)?;
    let spec = SiteRootSpec {
        id: content["site"].as_str().unwrap_or_default().parse()?,
        issued: jiff::Timestamp::UNIX_EPOCH,
        classification: None,
        root: only.clone(),
        site: only,
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry: Registry { name: "registry.plant-7".into(), address: "10.77.0.2:443".into(), ca: String::new() },
    };
    let site = SiteRoot::create(&spec, &[&key])?;
    done(Mirror::signed("a note".into(), &Envelope::sign(&kind, &payload, &[&key])?.to_json()?, &site))
}

fn release(bytes: &[u8], keys: &KeySet) -> Result<sealock_store::Published, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::init(&folder.path().join("store"))?;
    fs::write(folder.path().join("store/releases/1.json"), bytes)?;
    Ok(store.release(1, keys)?)
}

fn payload(envelope: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap_or_default()).expect("base64")
}

/// Canonical JSON: only the text of the version changes.
fn plain(bytes: &[u8], format: &Format, version: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let (old, new) =
        (format!("\"format\":\"{}\"", format.current), format!("\"format\":\"{}/{version}\"", format.name));
    assert!(text.contains(&old), "{text}");
    text.replace(&old, &new).into_bytes()
}

fn enveloped(bytes: &[u8], format: &Format, version: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let envelope: Value = serde_json::from_str(&text).expect("JSON");
    let bent = BASE64_STANDARD.encode(plain(&payload(&envelope), format, version));
    text.replace(envelope["payload"].as_str().expect("a payload"), &bent).into_bytes()
}

fn line(_: &[u8], format: &Format, version: &str) -> Vec<u8> {
    format!("{}/{version}\n", format.name).into_bytes()
}

fn eighth_byte(bytes: &[u8], _: &Format, version: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[7] = version.split('.').next().and_then(|major| major.parse().ok()).expect("a number");
    bytes
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/formats/1.0")
}

fn frozen(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What was refused for its version, however deep in the error that lies.
fn unknown_format<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a UnknownFormat> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(unknown) = error.downcast_ref::<UnknownFormat>() {
            return Some(unknown);
        }
        next = error.source();
    }
    None
}

#[test]
fn every_format_has_a_frozen_document_of_its_first_version() {
    let has = |format: &&Format| cases().iter().any(|case| case.format == *format);
    let listed = |format: &&&Format| ![&WRITTEN_ONLY[..], &OF_NODES, &OF_PATCHES].concat().contains(format);
    let without: Vec<&str> =
        format::ALL.iter().filter(listed).filter(|format| !has(format)).map(|one| one.name).collect();
    assert!(without.is_empty(), "{without:?}");
    let sums = String::from_utf8(frozen("SHA256SUMS")).expect("text");
    let sums: BTreeSet<&str> = sums.lines().collect();
    let files = fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    for name in files.map(|name| name.into_string().expect("text")).filter(|name| name != "SHA256SUMS") {
        let line = format!("{}  {name}", Digest::sha256(&frozen(&name)).hex());
        assert!(sums.contains(line.as_str()), "{name} is frozen, and was changed");
    }
}

#[test]
fn documents_of_1_0_are_read() {
    for case in cases() {
        let read = (case.read)(&frozen(case.file));
        assert!(read.is_ok(), "{}: {}", case.file, read.err().map(|error| error.to_string()).unwrap_or_default());
    }
    let key: PublicKey = serde_json::from_slice(&frozen("release.key.json")).expect("a key");
    release(&frozen("release.json"), &KeySet::new([key], 1).expect("a key set")).expect("signed by the site");
}

#[test]
fn a_newer_minor_is_read() {
    for case in cases().iter().filter(|case| !["volumes.json", "journal"].contains(&case.file)) {
        // What is signed over its own bytes does not hold any more, and is refused for that and for nothing else.
        let bent = (case.bend)(&frozen(case.file), case.format, "1.7");
        let error = (case.read)(&bent).err();
        let about_version = error.as_deref().and_then(|error| unknown_format(error)).is_some();
        assert!(!about_version, "{}: {}", case.file, error.map(|error| error.to_string()).unwrap_or_default());
    }
}

#[test]
fn other_majors_are_refused_by_name() {
    for case in cases() {
        for (version, word) in [("2.0", "newer"), ("0.9", "older")] {
            let bent = (case.bend)(&frozen(case.file), case.format, version);
            let error = (case.read)(&bent).expect_err(case.file);
            let unknown = unknown_format(&*error).unwrap_or_else(|| panic!("{}: {error}", case.file));
            assert!(unknown.to_string().contains(word), "{}: {unknown}", case.file);
            assert_eq!(unknown.code(), Code::Format);
            assert!(unknown.hint().is_some());
        }
    }
}

#[test]
fn another_version_is_told_though_its_fields_differ_too() {
    let enveloped = [
        "backup",
        "break-glass",
        "receipt",
        "release",
        "resolve-state",
        "revocations",
        "site-backup",
        "site-root",
        "trust-mirror",
        "trust-state",
    ];
    for case in cases().iter().filter(|case| case.format.at == "/format" && !enveloped.contains(&case.format.name)) {
        let name = case.format.name;
        let text = format!("{{\"format\":\"{name}/2.0\",\"something\":\"new\"}}");
        let error = (case.read)(text.as_bytes()).expect_err(name);
        assert!(unknown_format(&*error).is_some(), "{name}: {error}");
    }
}

#[test]
fn the_command_says_what_to_do() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    for (version, name) in [("2.0", "newer"), ("0.9", "older")] {
        sandbox.write("sealock.lock", plain(&frozen("sealock.lock"), format::LOCK, version));
        insta::assert_snapshot!(name, sandbox.see(&["diff", "sealock.lock", "sealock.lock"]));
    }
}
