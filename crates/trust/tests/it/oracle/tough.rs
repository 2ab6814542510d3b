//! tough, the Rust implementation.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use ::tough::editor::RepositoryEditor;
use ::tough::key_source::{KeySource, LocalKeySource};
use ::tough::{RepositoryLoader, TargetName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::{FileKey, Signer as _};
use url::Url;

use crate::world::{Publisher, time};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn believes(folder: &Path) -> Result<(), String> {
    finds(folder, "manifest.json")
}

pub(super) fn finds(folder: &Path, name: &str) -> Result<(), String> {
    let root = fs::read(folder.join("trusted-root.json")).unwrap();
    let url = |name: &str| Url::from_directory_path(folder.join(name)).unwrap();
    runtime().block_on(async {
        let said = |error: ::tough::error::Error| error.to_string();
        let repository = RepositoryLoader::new(&root, url("metadata"), url("targets")).load().await.map_err(said)?;
        let name = TargetName::new(name).map_err(said)?;
        let downloads = tempfile::tempdir().unwrap();
        // It must be there, and have the digest and length that were signed.
        repository.save_target(&name, downloads.path(), ::tough::Prefix::None).await.map_err(said)
    })
}

/// tough writes no roots: the first one is ours, everything else is its own.
pub(super) fn makes(folder: &Path) {
    let publisher = Publisher::new();
    let root = folder.join("trusted-root.json");
    fs::write(&root, publisher.first_root()).unwrap();
    let signers: Vec<PathBuf> = publisher.keys.iter().map(|key| save_as_der(key, folder)).collect();
    let root_signers: Vec<PathBuf> = publisher.root_keys.iter().map(|key| save_as_der(key, folder)).collect();
    let sources =
        signers.into_iter().chain(root_signers).map(|path| Box::new(LocalKeySource { path }) as Box<dyn KeySource>);
    let sources: Vec<_> = sources.collect();
    let seven = NonZeroU64::new(7).unwrap();
    let expires = time("2029-01-01T00:00:00Z");
    runtime().block_on(async {
        let mut editor = RepositoryEditor::new(&root).await.unwrap();
        editor.snapshot_version(seven).snapshot_expires(expires).timestamp_version(seven).timestamp_expires(expires);
        editor.targets_version(seven).unwrap().targets_expires(expires).unwrap();
        editor.add_target_path(folder.join("targets/manifest.json")).await.unwrap();
        editor.sign(&sources).await.unwrap().write(folder.join("metadata")).await.unwrap();
    });
}

/// A key file as tough reads it: PKCS#8, not in PEM.
fn save_as_der(key: &FileKey, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{}.pk8", key.public_key().id()));
    let pem = path.with_extension("pem");
    key.save(&pem, None).unwrap();
    let text = fs::read_to_string(&pem).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    fs::write(&path, STANDARD.decode(body).unwrap()).unwrap();
    path
}
