//! The images that clients push: an OCI layout with one image, and one index for two platforms.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registries::random::Random;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// What crane's `validate` takes every layer for.
const PACKED: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout on disk.
pub(super) struct Layout {
    folder: PathBuf,
    /// The digest of the image `one`.
    pub(super) one: String,
    /// The digest of the index `many`.
    pub(super) many: String,
    /// The digest of the layer of the image `one`.
    pub(super) layer: String,
}

/// Bytes of the file in the layer of `one`: more than any client reads at once.
const FILE: usize = 24_000_000;

impl Layout {
    pub(super) fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        let mut layout =
            Self { folder: folder.to_path_buf(), one: String::new(), many: String::new(), layer: String::new() };
        let (mut one, layer) = layout.image("amd64", 1, FILE)?;
        let (arm, _) = layout.image("arm64", 2, 300_000)?;
        layout.one = digest_of(&one)?;
        layout.layer = layer;
        let platform = |mut image: Value, architecture: &str| {
            image["platform"] = json!({"os": "linux", "architecture": architecture});
            image
        };
        let index = json!({"schemaVersion": 2, "mediaType": INDEX,
            "manifests": [platform(one.clone(), "amd64"), platform(arm, "arm64")]});
        let mut many = layout.put(&serde_json::to_vec(&index)?, INDEX)?;
        layout.many = digest_of(&many)?;
        for (entry, name) in [(&mut one, "one"), (&mut many, "many")] {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        layout.finish(&[one, many])?;
        Ok(layout)
    }

    /// A layout with one image `big` whose layer is a tar of `size` zero bytes, which takes no room on a disk that has holes.
    pub(super) fn sparse(folder: &Path, size: u64) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        let mut layout =
            Self { folder: folder.to_path_buf(), one: String::new(), many: String::new(), layer: String::new() };
        let content = folder.join("zeros");
        File::create(&content)?.set_len(size)?;
        let tar = folder.join("layer");
        let script = "tar --mtime=@0 -cf - zeros | dd of=layer bs=1M conv=sparse iflag=fullblock status=none";
        let made = Command::new("sh").args(["-c", script]).current_dir(folder).status()?;
        ensure!(made.success(), "tar cannot pack {size} bytes");
        fs::remove_file(content)?;
        let diff_id = sha256_of(&tar)?;
        let (mut image, _) = layout.image_of((&tar, LAYER), &diff_id, "amd64")?;
        layout.one = digest_of(&image)?;
        image["annotations"] = json!({"org.opencontainers.image.ref.name": "big"});
        layout.finish(&[image])?;
        Ok(layout)
    }

    fn finish(&self, entries: &[Value]) -> Result<()> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        fs::write(self.folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs::write(self.folder.join("index.json"), serde_json::to_vec(&index)?)?;
        Ok(())
    }

    /// An image with one file of noise; its descriptor, and its layer's digest.
    fn image(&self, architecture: &str, seed: u64, size: usize) -> Result<(Value, String)> {
        let file = self.folder.join("file");
        let mut random = Random::new(seed);
        let words: Vec<u8> = (0..size / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        File::create(&file)?.write_all(&words)?;
        let tar = self.folder.join("layer");
        let mut made = Command::new("tar");
        made.args(["--mtime=@0", "--owner=0", "--group=0", "-cf"]).arg(&tar).arg("-C").arg(&self.folder).arg("file");
        ensure!(made.status()?.success(), "tar cannot pack a layer");
        fs::remove_file(file)?;
        let diff_id = sha256_of(&tar)?;
        let mut gzip = Command::new("gzip");
        ensure!(gzip.args(["-1", "-n", "-f"]).arg(&tar).status()?.success(), "gzip cannot pack a layer");
        self.image_of((&tar.with_extension("gz"), PACKED), &diff_id, architecture)
    }

    /// An image of one layer; its descriptor, and its layer's digest.
    fn image_of(
        &self,
        (file, media_type): (&Path, &str),
        diff_id: &str,
        architecture: &str,
    ) -> Result<(Value, String)> {
        let hex = sha256_of(file)?;
        let size = fs::metadata(file)?.len();
        fs::rename(file, self.folder.join("blobs/sha256").join(&hex))?;
        let layer = format!("sha256:{hex}");
        let config = json!({"architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]}});
        let config = self.put(&serde_json::to_vec(&config)?, CONFIG)?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [{"mediaType": media_type, "digest": layer, "size": size}]});
        Ok((self.put(&serde_json::to_vec(&manifest)?, MANIFEST)?, layer))
    }

    fn put(&self, bytes: &[u8], media_type: &str) -> Result<Value> {
        let hex = hex::encode(Sha256::digest(bytes));
        fs::write(self.folder.join("blobs/sha256").join(&hex), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()}))
    }

    /// The bytes of one of its blobs.
    pub(super) fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let hex = digest.strip_prefix("sha256:").context("no SHA-256")?;
        Ok(fs::read(self.folder.join("blobs/sha256").join(hex))?)
    }
}

fn digest_of(descriptor: &Value) -> Result<String> {
    Ok(descriptor["digest"].as_str().context("a descriptor without digest")?.to_owned())
}

fn sha256_of(file: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let (mut file, mut buffer) = (File::open(file)?, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

/// `sha256:HEX` of text or bytes.
pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
