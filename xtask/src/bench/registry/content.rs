//! What the registries hold while they are measured: one image with layers of several sizes, the same bytes everywhere.

use std::fs;
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::registries::body::Content;
use crate::registries::client::Connection;
use crate::registries::upload::{self, Form};

/// The repository, by a name that every registry takes; a site has it by this one from [`UPSTREAM`] at `bench.example`.
pub const REPOSITORY: &str = "bench.example/corpus";
/// The repository that has thousands of tags.
pub const TAGGED: &str = "bench.example/tagged";
/// The repository at the registry from which the site gets it.
pub const UPSTREAM: &str = "corpus";
/// The image's tag.
pub const TAG: &str = "v1";
/// Bytes of the layers.
const SIZES: [usize; 4] = [2, 1_000_000, 10_000_000, 100_000_000];

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Of the two bytes `{}`.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// One image.
pub struct Image {
    /// The layers and their digests, in the order of [`SIZES`].
    pub layers: Vec<Blob>,
    config: Blob,
    /// The manifest.
    pub manifest: Blob,
}

/// Some bytes and their name.
#[derive(Clone)]
pub struct Blob {
    pub digest: String,
    pub bytes: Bytes,
}

impl Blob {
    fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))), bytes }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

impl Image {
    /// Makes it; always the same.
    pub fn make() -> Result<Self> {
        let mut layers = Vec::new();
        for (seed, size) in SIZES.into_iter().enumerate() {
            layers.push(if size == 2 { Blob::new("{}") } else { Blob::new(noise(seed as u64, size)) });
        }
        let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.digest).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = Blob::new(serde_json::to_vec(&config)?);
        let descriptors: Vec<Value> =
            layers.iter().map(|layer| layer.descriptor(if layer.bytes.len() == 2 { EMPTY } else { LAYER })).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"), "layers": descriptors});
        let manifest = Blob::new(serde_json::to_vec(&manifest)?);
        Ok(Self { layers, config, manifest })
    }

    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config])
    }

    /// Pushes all of it into a repository.
    pub async fn push(&self, connection: &mut Connection, repository: &str) -> Result<()> {
        for blob in self.blobs() {
            let content = Content::whole(blob.bytes.clone());
            upload::blob(connection, repository, (&blob.digest, &content), Form::Monolithic).await?;
        }
        let answer = upload::manifest(connection, repository, TAG, (MANIFEST, self.manifest.bytes.clone())).await?;
        answer.expect(StatusCode::CREATED, "PUT of a manifest").map(drop)
    }

    /// Writes all of it as files whose paths are those of a registry.
    pub fn write(&self, files: &Path) -> Result<()> {
        let folder = files.join("v2").join(REPOSITORY);
        for name in ["blobs", "manifests"] {
            fs::create_dir_all(folder.join(name))?;
        }
        for blob in self.blobs() {
            fs::write(folder.join("blobs").join(&blob.digest), &blob.bytes)?;
        }
        for name in [TAG, &self.manifest.digest] {
            fs::write(folder.join("manifests").join(name), &self.manifest.bytes)?;
        }
        Ok(())
    }
}

/// A small image, in a repository of its own, under all of these tags.
pub async fn push_small(connection: &mut Connection, repository: &str, tags: &[String]) -> Result<()> {
    let config = Blob::new("{}");
    let content = Content::whole(config.bytes.clone());
    upload::blob(connection, repository, (&config.digest, &content), Form::Monolithic).await?;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "artifactType": "application/x-bench", "config": config.descriptor(EMPTY)});
    let bytes = Bytes::from(serde_json::to_vec(&manifest)?);
    for tag in tags {
        let answer = upload::manifest(connection, repository, tag, (MANIFEST, bytes.clone())).await?;
        answer.expect(StatusCode::CREATED, "PUT of a manifest")?;
    }
    Ok(())
}

/// Bytes that nothing compresses and that are the same in every run (splitmix64).
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = crate::registries::random::Random::new(seed);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
