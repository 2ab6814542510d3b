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
    let removed = host.alter(Alteration::RemoveFile { path: ARCHIVE });
    imported.map_err(|error| judged(error, image))?;
    Ok(removed?)
}

/// That a blob was not what its digest says is a refusal, and not a fault of the disk.
fn judged(error: HostError, image: &Image) -> StepError {
    match error {
        HostError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
            StepError::Malformed { repository: image.name.clone(), problem: source.to_string() }
        }
        other => other.into(),
    }
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
        let content = copy.small(&by_digest(image), &descriptor.digest)?;
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
            let reader: Result<_, PullError> = copy.blob(&by_digest(image), blob);
            entry(&mut parts, &path, (blob.size, Box::new(reader?)))?;
        }
        parts.push(Box::new(Cursor::new(vec![0; 2 * BLOCK])));
        Ok(Chain { parts: parts.into_iter() , current: None })
    }
}

fn node(image: &Image, content: &[u8]) -> Result<Node, StepError> {
    let what = by_digest(image);
    Ok(serde_json::from_slice(content).map_err(|source| PullError::Manifest { what, source })?)
}

fn malformed(image: &Image, problem: &str) -> StepError {
    StepError::Malformed { repository: image.name.clone(), problem: problem.to_owned() }
}

/// One entry of the archive: header, content, padding.
fn entry(
    parts: &mut Vec<Box<dyn Read>>,
    path: &str,
    (size, content): (u64, Box<dyn Read>),
) -> Result<(), StepError> {
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
