//! A store that takes pushes, and what tests say of its content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sealock_store::Store;
use sealock_store::gc::Guard;
use sealock_store::gc::protocol::Terms;
use sealock_store::oci::Manifest;
use sealock_store::pushed::{Append, Demands, Moment, PushError, Pushed, PutManifest, Settings, Snapshot, Verdict};
use sealock_trust::{Algorithm, Digest};
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const WHO: Option<&str> = Some("robot");

pub(crate) struct World {
    folder: tempfile::TempDir,
}

pub(crate) fn moment() -> Moment {
    later(0)
}

/// So many hours later, by both clocks.
pub(crate) fn later(hours: u32) -> Moment {
    let wall = Timestamp::from_second(1_790_000_000).unwrap() + SignedDuration::from_hours(hours.into());
    Moment { wall, ticks: u64::from(hours) * 3600 }
}

/// What replies promise, for an hour.
pub(crate) fn guard() -> Arc<Guard> {
    Arc::new(Guard::new(Terms { lease: 3600, grace: 3600 }, 0))
}

/// Without room kept free, which the machine may not have.
pub(crate) fn settings() -> Settings {
    Settings { headroom: 0, ..Settings::default() }
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        Store::init(&world.path()).unwrap();
        world
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    pub(crate) fn open(&self) -> Pushed {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Pushed, PushError> {
        Pushed::open(&self.store(), &settings(), guard(), moment())
    }
}

/// Begins an upload, and gets to write to it.
pub(crate) fn begun(pushed: &Pushed, repository: &str) -> Result<Append, PushError> {
    let id = pushed.begin(repository, WHO, Algorithm::Sha256, moment())?;
    pushed.append(repository, WHO, &id.to_string(), Some(0))
}

pub(crate) fn blob(pushed: &Pushed, repository: &str, content: &[u8]) -> Result<Digest, PushError> {
    let digest = Digest::sha256(content);
    let mut append = begun(pushed, repository)?;
    append.expect(content.len() as u64)?;
    append.write(content, moment())?;
    pushed.finish(append, (repository, WHO), &digest, moment())?;
    Ok(digest)
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(content).to_string(), "size": content.len()})
}

/// A manifest of `layers`, with the first of them as its config too, as bytes.
pub(crate) fn manifest_of(layers: &[&[u8]], subject: Option<Value>) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor("application/x", layer)).collect();
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0], "layers": layers});
    if let Some(subject) = subject {
        manifest["subject"] = subject;
    }
    serde_json::to_vec_pretty(&manifest).unwrap()
}

pub(crate) fn put(repository: &str, bytes: &[u8], tags: &[&str]) -> PutManifest {
    let manifest = Manifest::parse(Digest::sha256(bytes), MANIFEST, bytes.to_vec().into()).unwrap();
    PutManifest {
        repository: repository.into(),
        manifest: Arc::new(manifest),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        fixed: Vec::new(),
        demands: Demands::default(),
        verdict: Verdict { rule: "test".into(), policy_epoch: 1 },
    }
}

/// All that a snapshot says, as text.
pub(crate) fn listing(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut listing = BTreeMap::new();
    for (name, repository) in snapshot.repositories(None) {
        for (digest, size) in repository.blobs() {
            listing.insert(format!("{name} blob {digest}"), size.to_string());
        }
        for held in repository.manifests() {
            listing.insert(format!("{name} manifest {}", held.manifest.digest), format!("{:?}", held.entry));
        }
        for (tag, stands_for) in repository.tags(None) {
            listing.insert(format!("{name} tag {tag}"), format!("{stands_for:?}"));
        }
    }
    listing
}

/// What holds of every store at rest, whatever happened: I2, I3, I8 and I9 of the plan.
pub(crate) fn check(store: &Store, snapshot: &Snapshot) {
    assert_eq!(listing(snapshot), listing(&store.pushed_content().unwrap()), "the index is not what the log leads to");
    check_whole(store, snapshot);
}

/// What holds of everything that requests see at any moment: I2 and I3.
pub(crate) fn check_whole(store: &Store, snapshot: &Snapshot) {
    for (name, repository) in snapshot.repositories(None) {
        for (digest, size) in repository.blobs() {
            let content = std::fs::read(store.blob_path(digest)).unwrap_or_else(|error| panic!("{digest}: {error}"));
            assert_eq!((&Digest::of(digest.algorithm(), &content), content.len() as u64), (digest, size));
        }
        let manifests = repository.manifests().map(|held| held.manifest.bytes.len() as u64);
        let used = manifests.chain(repository.blobs().map(|(_, size)| size)).sum::<u64>();
        assert_eq!(repository.used(), used, "{name} counts what it holds wrongly");
        for (tag, stands_for) in repository.tags(None) {
            assert!(repository.manifest(&stands_for.digest).is_some(), "{name}:{tag} stands for nothing");
        }
        for held in repository.manifests() {
            for child in held.manifest.children() {
                let is_there = repository.blob(&child.digest).is_some() || repository.manifest(&child.digest).is_some();
                assert!(is_there && repository.refers_to(&child.digest) && snapshot.is_reached(&child.digest));
            }
        }
    }
}

/// The paths of files under `folder`, relative to it.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    crate::site::files(folder).iter().map(relative).collect()
}
