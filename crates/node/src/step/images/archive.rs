//! An image out of a copy of the store, handed to containerd as the archive that `ctr images import` reads.
//!
//! The archive is an OCI image layout in a tar, as a bundle is one. It is on disk for one image at a time; each blob is judged by its
//! digest while it is written, and containerd judges it again.

use std::io::{self, Cursor, Read};

use sealock_trust::Digest;
use serde::Deserialize;
use serde_json::json;

use super::{Image, LOAD_TIMEOUT, by_digest, ctr};
use crate::error::StepError;
use crate::host::{Alteration, Host, HostError};

use crate::pull::{Descriptor, PullError};
use crate::source::StoreCopy;
use crate::step::Mode;

/// Where the archive lies while it is needed.
pub(in crate::step) const ARCHIVE: &str = "/var/lib/sealock/node/image.tar";

const BLOCK: usize = 512;
/// Indexes in indexes; none is known that goes deeper than two.
const DEPTH: usize = 4;
/// Platforms, layers and attestations of one image.
const BLOBS: usize = 4096;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An index or a manifest, as far as it leads on.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    media_type: Option<String>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// What an archive holds.
struct Contents {
    root: Descriptor,
    media_type: String,
    /// Indexes and manifests first.
    blobs: Vec<Descriptor>,
}

/// Brings `image` from `copy` into containerd, under its digest.
pub(super) fn load(host: &dyn Host, copy: &StoreCopy, image: &Image) -> Result<(), StepError> {
    let contents = Contents::of(copy, image)?;
    let written = host.write(ARCHIVE, Mode::PRIVATE, &mut contents.archive(copy, image)?);
    let imported = written.and_then(|()| ctr(["images", "import", ARCHIVE]).timeout(LOAD_TIMEOUT).must(host));
    // It is as large as the image: it goes, whatever came of it.
    let removed = forget(host);
    imported?;
    Ok(removed?)
}

/// Takes the archive away, whole or half: also that of a run which was killed.
pub(super) fn forget(host: &dyn Host) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path: ARCHIVE })
}

impl Contents {
    fn of(copy: &StoreCopy, image: &Image) -> Result<Self, StepError> {
        let content = copy.small(&by_digest(image), &image.digest)?;
        let root = Descriptor { digest: image.digest.clone(), size: content.len() as u64 };
        let node = node(image, &content)?;
        let media_type =
            node.media_type.unwrap_or_else(|| if node.manifests.is_empty() { MANIFEST } else { INDEX }.to_owned());
        let mut contents = Self { root: root.clone(), media_type, blobs: Vec::new() };
        contents.gather(copy, image, root, DEPTH)?;
        Ok(contents)
    }

    /// Platforms that were never carried are absent from the store, and are left out. Of one that is there, all is wanted.
    fn gather(
        &mut self,
        copy: &StoreCopy,
        image: &Image,
        descriptor: Descriptor,
        depth: usize,
    ) -> Result<(), StepError> {
        if depth == 0 || self.blobs.len() > BLOBS {
            return Err(malformed(image, "it has more parts than an image has"));
        }
        if self.has(&descriptor.digest) {
            return Ok(());
        }
        let content = copy.small(&part_of(image, &descriptor.digest), &descriptor.digest)?;
        let node = node(image, &content)?;
        self.blobs.push(descriptor);
        for child in node.manifests {
            if copy.has(&child.digest)? {
                self.gather(copy, image, child, depth - 1)?;
            }
        }
        for blob in node.config.into_iter().chain(node.layers) {
            if !self.has(&blob.digest) {
                self.blobs.push(blob);
            }
        }
        Ok(())
    }

    fn has(&self, digest: &Digest) -> bool {
        self.blobs.iter().any(|blob| blob.digest == *digest)
    }

    fn archive(&self, copy: &StoreCopy, image: &Image) -> Result<Chain, StepError> {
        let name = by_digest(image);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{
                "mediaType": self.media_type,
                "digest": self.root.digest.to_string(),
                "size": self.root.size,
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            }],
        });
        let mut parts = Vec::new();
        for (name, content) in [
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json", index.to_string().into_bytes()),
        ] {
            let size = content.len() as u64;
            entry(&mut parts, name, (size, Box::new(Cursor::new(content))))?;
        }
        for blob in &self.blobs {
            let path = format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex());
            let reader = copy.blob(&part_of(image, &blob.digest), blob)?;
            entry(&mut parts, &path, (blob.size, Box::new(reader)))?;
        }
        parts.push(Box::new(Cursor::new(vec![0; 2 * BLOCK])));
        Ok(Chain { parts: parts.into_iter(), current: None })
    }
}

/// `repository@digest` of a part of an image.
fn part_of(image: &Image, digest: &Digest) -> String {
    by_digest(&Image { name: image.name.clone(), digest: digest.clone() })
}

fn node(image: &Image, content: &[u8]) -> Result<Node, StepError> {
    let what = by_digest(image);
    Ok(serde_json::from_slice(content).map_err(|source| PullError::Manifest { what, source })?)
}

fn malformed(image: &Image, problem: &str) -> StepError {
    StepError::Malformed { repository: image.name.clone(), problem: problem.to_owned() }
}

/// One entry of the archive: header, content, padding.
fn entry(parts: &mut Vec<Box<dyn Read>>, path: &str, (size, content): (u64, Box<dyn Read>)) -> Result<(), StepError> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
    header.set_size(size);
    header.set_mode(0o444);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    parts.push(Box::new(Cursor::new(header.as_bytes().to_vec())));
    parts.push(content);
    let beyond = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    parts.push(Box::new(Cursor::new(vec![0; (BLOCK - beyond) % BLOCK])));
    Ok(())
}

/// One reader after the other.
struct Chain {
    parts: std::vec::IntoIter<Box<dyn Read>>,
    current: Option<Box<dyn Read>>,
}

impl Read for Chain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(part) = &mut self.current {
                match part.read(buffer)? {
                    0 => self.current = None,
                    count => return Ok(count),
                }
            }
            match self.parts.next() {
                Some(next) => self.current = Some(next),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use sealock_store::Store;
    use sealock_trust::reason::Code;

    use super::*;

    fn put(store: &Path, content: &str) -> (Digest, String) {
        let digest = Digest::sha256(content.as_bytes());
        fs::write(store.join("blobs/sha256").join(digest.hex()), content).unwrap();
        let descriptor = format!(r#"{{"digest":"{digest}","size":{}}}"#, content.len());
        (digest, descriptor)
    }

    /// An image for two platforms, of which one was carried.
    fn image(store: &Path) -> (Image, Digest) {
        Store::init(store).unwrap();
        let (layer, layer_there) = put(store, &"layer".repeat(1000));
        let (_, config) = put(store, "{}");
        let (_, here) = put(store, &format!(r#"{{"config":{config},"layers":[{layer_there},{layer_there}]}}"#));
        let elsewhere = format!(r#"{{"digest":"{}","size":7}}"#, Digest::sha256(b"another platform"));
        let (digest, _) = put(store, &format!(r#"{{"manifests":[{here},{elsewhere}]}}"#));
        (Image { name: "registry.k8s.io/pause:3.10".into(), digest }, layer)
    }

    fn archive(store: &Path, image: &Image) -> Result<BTreeMap<String, Vec<u8>>, StepError> {
        let copy = StoreCopy::open(store).unwrap();
        let mut bytes = Vec::new();
        let mut reader = Contents::of(&copy, image)?.archive(&copy, image)?;
        reader.read_to_end(&mut bytes).map_err(HostError::io("write", ARCHIVE))?;
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(found.insert(path, content).is_none(), "an entry stands there twice");
        }
        Ok(found)
    }

    #[test]
    fn an_archive_holds_what_was_carried_of_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let (image, layer) = image(folder.path());
        let found = archive(folder.path(), &image).unwrap();
        let blobs: Vec<_> = found.keys().filter(|path| path.starts_with("blobs/")).collect();
        assert_eq!(blobs.len(), 4, "index, manifest, configuration and one layer: {blobs:?}");
        assert_eq!(found[&format!("blobs/sha256/{}", layer.hex())], "layer".repeat(1000).into_bytes());
        let index: serde_json::Value = serde_json::from_slice(&found["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], image.digest.to_string());
        assert_eq!(index["manifests"][0]["mediaType"], INDEX);
        let name = format!("registry.k8s.io/pause@{}", image.digest);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], name);
        assert!(found.contains_key("oci-layout"));
    }

    #[test]
    fn a_layer_that_is_another_one_ends_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (image, layer) = image(folder.path());
        let path = folder.path().join("blobs/sha256").join(layer.hex());
        fs::write(path, "lawyer".repeat(1000).as_bytes().get(..5000).unwrap()).unwrap();
        assert_eq!(archive(folder.path(), &image).unwrap_err().code(), Some(Code::Digest));
    }

    #[test]
    fn a_layer_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (image, layer) = image(folder.path());
        fs::remove_file(folder.path().join("blobs/sha256").join(layer.hex())).unwrap();
        let error = archive(folder.path(), &image).unwrap_err();
        assert_eq!(error.code(), Some(Code::Incomplete));
        assert!(error.to_string().contains(layer.hex()), "{error}");
    }
}
