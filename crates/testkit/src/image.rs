//! Real images: tar layers, gzip, configurations, manifests, indexes.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sealock_trust::Digest;
use serde_json::{Value, json};

/// Media type of an OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a gzip layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image or index with all that belongs to it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the outermost manifest.
    pub digest: Digest,
    /// Manifests, children first: digest, media type, bytes.
    pub manifests: Vec<(Digest, String, Bytes)>,
    /// Configurations and layers.
    pub blobs: Vec<(Digest, Bytes)>,
}

impl Image {
    /// The image of one platform (`linux/amd64`, `linux/arm/v7`), one layer per group of files.
    pub fn new(platform: &str, layers: &[&[(&str, &[u8])]]) -> Self {
        let plain: Vec<Vec<u8>> = layers.iter().map(|files| tar_of(files)).collect();
        Self::of_layers(platform, &plain)
    }

    /// The image of one platform from uncompressed tar layers.
    pub fn of_layers(platform: &str, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::sha256(layer).to_string()).collect();
        let mut config = platform_json(platform);
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        config["config"] = json!({"Entrypoint": ["/app"]});
        let layers = layers.iter().map(|layer| (LAYER.to_owned(), gzip(layer).into())).collect();
        Self::artifact(None, (CONFIG, bytes_of(&config)), layers, &json!({}))
    }

    /// Any OCI artifact: artifact type, configuration, layers, annotations.
    pub fn artifact(
        kind: Option<&str>,
        config: (&str, Bytes),
        layers: Vec<(String, Bytes)>,
        annotations: &Value,
    ) -> Self {
        let described: Vec<Value> = layers.iter().map(|(media_type, bytes)| descriptor(media_type, bytes)).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config.0, &config.1), "layers": described,
        });
        if let Some(kind) = kind {
            manifest["artifactType"] = kind.into();
        }
        if annotations.as_object().is_some_and(|map| !map.is_empty()) {
            manifest["annotations"] = annotations.clone();
        }
        let bytes = bytes_of(&manifest);
        let digest = Digest::sha256(&bytes);
        let blobs = std::iter::once(config.1).chain(layers.into_iter().map(|(_, bytes)| bytes));
        let blobs = blobs.map(|bytes| (Digest::sha256(&bytes), bytes)).collect();
        Self { digest: digest.clone(), manifests: vec![(digest, MANIFEST.to_owned(), bytes)], blobs }
    }

    /// An index over images of several platforms.
    pub fn index(images: &[(&str, Self)]) -> Self {
        let entries: Vec<Value> = images
            .iter()
            .map(|(platform, image)| {
                let (_, media_type, bytes) = image.manifests.last().unwrap();
                let mut entry = descriptor(media_type, bytes);
                entry["platform"] = platform_json(platform);
                entry
            })
            .collect();
        let bytes = bytes_of(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
        let digest = Digest::sha256(&bytes);
        let mut manifests: Vec<_> = images.iter().flat_map(|(_, image)| image.manifests.clone()).collect();
        manifests.push((digest.clone(), INDEX.to_owned(), bytes));
        Self { digest, manifests, blobs: images.iter().flat_map(|(_, image)| image.blobs.clone()).collect() }
    }
}

impl Image {
    /// The same artifact, referring to `subject`.
    #[must_use]
    pub fn refer_to(mut self, subject: &Self) -> Self {
        let (_, media_type, bytes) = self.manifests.pop().unwrap();
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let (_, subject_type, subject_bytes) = subject.manifests.last().unwrap();
        manifest["subject"] = descriptor(subject_type, subject_bytes);
        let bytes = bytes_of(&manifest);
        self.digest = Digest::sha256(&bytes);
        self.manifests.push((self.digest.clone(), media_type, bytes));
        self
    }

    /// The same index with an annotation at the entry `number`, counted from 0.
    #[must_use]
    pub fn annotate_entry(mut self, number: usize, key: &str, value: &str) -> Self {
        let (_, media_type, bytes) = self.manifests.pop().unwrap();
        let mut index: Value = serde_json::from_slice(&bytes).unwrap();
        index["manifests"][number]["annotations"][key] = value.into();
        let bytes = bytes_of(&index);
        self.digest = Digest::sha256(&bytes);
        self.manifests.push((self.digest.clone(), media_type, bytes));
        self
    }
}

/// A descriptor of `bytes`.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(bytes).to_string(), "size": bytes.len()})
}

/// `value` as JSON bytes.
pub fn bytes_of(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap().into()
}

/// A reproducible tar of these files.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// `bytes` compressed, always to the same bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn platform_json(platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut json = json!({"os": parts.next().unwrap(), "architecture": parts.next().unwrap()});
    if let Some(variant) = parts.next() {
        json["variant"] = variant.into();
    }
    json
}
