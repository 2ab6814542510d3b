//! A corpus of real layers: this machine's own system folders, packed as container images.
//!
//! The layers are what compilers, libraries and documents compress to, not random bytes; images share layers as real
//! ones do. Built once, kept under the user's cache folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Compressed bytes that the corpus has at least.
pub const BYTES: u64 = 2_000_000_000;

/// Bytes of files that go into one layer.
const LAYER_INPUT: u64 = 180_000_000;

/// Layers of an image: one shared base, the rest its own.
const OWN_LAYERS: usize = 2;

/// The corpus: one OCI image layout with several tagged images.
pub struct Corpus {
    /// The layout's folder.
    pub layout: PathBuf,
    /// Tags, one per image.
    pub tags: Vec<String>,
    /// Bytes of all blobs, each counted once.
    pub bytes: u64,
}

/// The corpus in `cache`, made if it is not there.
pub fn ensure(cache: &Path) -> Result<Corpus> {
    let layout = cache.join("bench/corpus-1");
    if !layout.join("index.json").exists() {
        let partial = cache.join("bench/corpus-1.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        println!("packing a corpus of {:.1} GB of real layers (once)", BYTES as f64 / 1e9);
        make(&partial)?;
        fs::rename(&partial, &layout)?;
    }
    open(layout)
}

fn open(layout: PathBuf) -> Result<Corpus> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let manifests = index["manifests"].as_array().context("a corpus without images")?;
    let tag = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned);
    let tags: Vec<String> = manifests.iter().filter_map(tag).collect();
    let mut bytes = 0;
    for blob in fs::read_dir(layout.join("blobs/sha256"))? {
        bytes += blob?.metadata()?.len();
    }
    Ok(Corpus { layout, tags, bytes })
}

fn make(layout: &Path) -> Result<()> {
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let layers = pack_layers(layout)?;
    let (base, own) = layers.split_first().context("no layers")?;
    let mut entries = Vec::new();
    for (number, chunk) in own.chunks(OWN_LAYERS).enumerate() {
        let stack: Vec<&Value> = std::iter::once(base).chain(chunk).collect();
        entries.push(image(layout, &stack, &format!("app-{number:02}"))?);
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
    Ok(())
}

fn image(layout: &Path, layers: &[&Value], tag: &str) -> Result<Value> {
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["annotations"]["diff-id"]).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = put(layout, &serde_json::to_vec(&config)?, "application/vnd.oci.image.config.v1+json")?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    });
    let mut entry = put(layout, &serde_json::to_vec(&manifest)?, "application/vnd.oci.image.manifest.v1+json")?;
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    Ok(entry)
}

fn put(layout: &Path, bytes: &[u8], media_type: &str) -> Result<Value> {
    let hex = hex::encode(Sha256::digest(bytes));
    fs::write(layout.join("blobs/sha256").join(&hex), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()}))
}

/// Packs files into layers until there are enough bytes.
fn pack_layers(layout: &Path) -> Result<Vec<Value>> {
    let mut layers = Vec::new();
    let mut packed = 0;
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for root in roots()? {
        let mut files = Vec::new();
        list(&root, &mut files)?;
        for (file, size) in files {
            batch.push(file);
            batch_bytes += size;
            if batch_bytes >= LAYER_INPUT {
                let layer = pack(layout, &std::mem::take(&mut batch))?;
                batch_bytes = 0;
                packed += layer["size"].as_u64().unwrap_or_default();
                layers.push(layer);
                if packed >= BYTES {
                    return Ok(layers);
                }
            }
        }
    }
    bail!(
        "this machine's system folders give only {:.1} GB of layers, {:.1} GB are needed",
        packed as f64 / 1e9,
        BYTES as f64 / 1e9
    )
}

/// Folders with much real content, in the order in which they are used.
fn roots() -> Result<Vec<PathBuf>> {
    let mut roots = vec![PathBuf::from("/usr")];
    for (program, args) in [("rustc", ["--print", "sysroot"]), ("go", ["env", "GOROOT"]), ("go", ["env", "GOMODCACHE"])]
    {
        if let Ok(output) = Command::new(program).args(args).output() {
            let root = PathBuf::from(String::from_utf8(output.stdout)?.trim());
            roots.extend(root.is_dir().then_some(root));
        }
    }
    let home = crate::environment::variable("HOME").map(PathBuf::from).context("HOME is not set")?;
    roots.extend([
        home.join(".cargo/registry"),
        home.join(".cache/sealock/lab"),
        PathBuf::from("/var/lib"),
        PathBuf::from("/opt"),
    ]);
    roots.retain(|root| root.is_dir());
    Ok(roots)
}

fn list(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut entries: Vec<_> = entries.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// One layer: `tar | gzip -1`, hashed before and after.
fn pack(layout: &Path, files: &[PathBuf]) -> Result<Value> {
    let list = layout.join("files");
    let mut text = Vec::new();
    for file in files {
        text.extend_from_slice(file.as_os_str().as_encoded_bytes());
        text.push(0);
    }
    File::create(&list)?.write_all(&text)?;
    let raw = layout.join("layer.tar");
    let tar = [
        "--create",
        "--null",
        "--no-recursion",
        "--ignore-failed-read",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--absolute-names",
    ];
    let status = Command::new("tar").args(tar).arg("--files-from").arg(&list).arg("--file").arg(&raw).status()?;
    // 1: a file changed while it was read, which the corpus does not mind.
    ensure!(matches!(status.code(), Some(0 | 1)), "tar ended with {status}");
    let diff_id = sha256(&raw)?;
    let packed = layout.join("layer.tar.gz");
    let gzip =
        Command::new("gzip").args(["-1", "-n", "-c"]).arg(&raw).stdout(Stdio::from(File::create(&packed)?)).status()?;
    ensure!(gzip.success(), "gzip ended with {gzip}");
    let digest = sha256(&packed)?;
    let size = fs::metadata(&packed)?.len();
    fs::rename(&packed, layout.join("blobs/sha256").join(&digest))?;
    fs::remove_file(&raw)?;
    fs::remove_file(&list)?;
    Ok(json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{digest}"), "size": size,
        "annotations": {"diff-id": format!("sha256:{diff_id}")},
    }))
}

fn sha256(file: &Path) -> Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(file)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            length => hasher.update(&buffer[..length]),
        }
    }
}
