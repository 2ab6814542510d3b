//! Whether content is what its media type says.
//!
//! A scanner goes by the media type, and a container runtime by the first bytes: where the two differ, what was looked at is
//! not what will run. So the types that promise something recognisable are held to it, wherever a blob is read for the first
//! time. Types that promise nothing, such as `application/octet-stream`, are held to nothing.

use std::fmt;

use serde::Deserialize;

use crate::artifact::{BINARY, DOCKER_LIST, OCI_INDEX};
use crate::lock::BlobRole;

/// First bytes that are looked at; a tar header is one block of 512.
const HEAD: usize = 512;
/// Bytes of an index or manifest that is read as JSON; what is longer is refused (OCI distribution specification 1.1 asks
/// registries to take 4 MiB).
pub(crate) const MAX_MANIFEST: usize = 4 << 20;

/// Content that is something else than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The media type that it has.
    pub media_type: String,
    /// What it was found to be, in words.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "has the media type {}, and {}", self.media_type.escape_debug(), self.found)
    }
}

/// What a media type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// A tar archive, or whatever a tool calls so, but nothing compressed: runtimes would unpack it.
    Uncompressed,
    /// A JSON text.
    Json,
    /// An ELF program.
    Elf,
    /// Nothing.
    Nothing,
}

impl Promise {
    fn of(media_type: &str) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| media_type.ends_with(ending));
        match media_type {
            _ if ends(&["+gzip", ".tar.gzip", "/gzip", "+gz"]) => Self::Gzip,
            _ if ends(&["+zstd", ".tar.zstd", "/zstd"]) => Self::Zstd,
            _ if ends(&[".tar", "+tar", "/x-tar"]) => Self::Uncompressed,
            _ if ends(&["+json", "/json"]) => Self::Json,
            BINARY => Self::Elf,
            _ => Self::Nothing,
        }
    }
}

/// Watches content go by.
#[derive(Debug)]
pub struct Watch {
    media_type: String,
    promise: Promise,
    head: Vec<u8>,
    /// The whole, of an index or a manifest.
    manifest: Option<Vec<u8>>,
    role: BlobRole,
}

impl Watch {
    /// For a blob of this media type, in this role.
    pub fn new(media_type: &str, role: BlobRole) -> Self {
        let is_manifest = matches!(role, BlobRole::Index | BlobRole::Manifest);
        Self {
            media_type: media_type.to_owned(),
            promise: Promise::of(media_type),
            head: Vec::new(),
            manifest: is_manifest.then(Vec::new),
            role,
        }
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let missing = HEAD.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(piece.get(..missing).unwrap_or_default());
        if let Some(manifest) = &mut self.manifest {
            // One byte beyond the limit tells that it is too long.
            let room = (MAX_MANIFEST + 1).saturating_sub(manifest.len()).min(piece.len());
            manifest.extend_from_slice(piece.get(..room).unwrap_or_default());
        }
    }

    /// How many bytes from the beginning it takes to judge.
    pub fn needs(&self) -> u64 {
        let bytes = if self.manifest.is_some() { MAX_MANIFEST + 1 } else { HEAD };
        bytes as u64
    }

    /// Begins again.
    pub fn restart(&mut self) {
        self.head.clear();
        self.manifest.iter_mut().for_each(Vec::clear);
    }

    /// All has gone by.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn finish(&self) -> Result<(), Mismatch> {
        self.problem().map_or(Ok(()), |found| Err(Mismatch { media_type: self.media_type.clone(), found }))
    }

    fn problem(&self) -> Option<String> {
        if let Some(manifest) = &self.manifest {
            return self.problem_of_manifest(manifest);
        }
        let found = kind(&self.head);
        let wrong = |is_right: bool| (!is_right).then(|| format!("is {}", found.unwrap_or("something else")));
        match self.promise {
            Promise::Gzip => wrong(found == Some(GZIP)),
            Promise::Zstd => wrong(found == Some(ZSTD)),
            Promise::Elf => wrong(found == Some(ELF)),
            Promise::Uncompressed => wrong(!found.is_some_and(|found| COMPRESSED.contains(&found))),
            Promise::Json => {
                let first = self.head.iter().find(|byte| !byte.is_ascii_whitespace());
                wrong(first.is_some_and(|first| matches!(first, b'{' | b'[' | b'"')))
            }
            Promise::Nothing => None,
        }
    }

    /// What an index or a manifest says of others: digest and media type. Nothing for other content.
    pub(crate) fn descriptors(&self) -> Vec<Descriptor> {
        let outline = self.manifest.as_deref().and_then(|bytes| serde_json::from_slice::<Outline>(bytes).ok());
        let Some(Outline { manifests, layers, config, .. }) = outline else { return Vec::new() };
        manifests.into_iter().flatten().chain(layers.into_iter().flatten()).chain(config).collect()
    }

    /// Index and manifest must not be taken for one another (CVE-2021-41190), nor for something else.
    fn problem_of_manifest(&self, bytes: &[u8]) -> Option<String> {
        if bytes.len() > MAX_MANIFEST {
            return Some(format!("is longer than {MAX_MANIFEST} bytes"));
        }
        let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let outline = serde_json::from_slice::<Outline>(bytes).ok().filter(|_| is_object);
        let Some(outline) = outline else { return Some("is no such JSON document".to_owned()) };
        if outline.media_type.as_ref().is_some_and(|said| *said != self.media_type) {
            let said = outline.media_type.unwrap_or_default();
            return Some(format!("says itself that it is {}", said.escape_debug()));
        }
        let (lists, layers) = (outline.manifests.is_some(), outline.layers.is_some() || outline.config.is_some());
        let is_list = matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_LIST);
        let problem = match (self.role == BlobRole::Index, is_list) {
            (true, false) => "stands in the place of an index",
            (false, true) => "stands in the place of an image manifest",
            (true, true) if !lists || layers => "is no list of manifests",
            (false, false) if lists => "is a list of manifests",
            _ => return None,
        };
        Some(problem.to_owned())
    }
}

/// What matters here of an index or a manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
}

/// What an index or a manifest says of another blob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// Its media type.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Its digest; whatever else stands there names no blob of ours.
    #[serde(default)]
    pub(crate) digest: String,
}

/// Whether what was promised of one blob in two places can hold at once; none where that takes a look at its content.
pub(crate) fn agree(one: &str, other: &str) -> Option<bool> {
    match (Promise::of(one), Promise::of(other)) {
        (a, b) if a == b => Some(true),
        (Promise::Nothing, _) | (_, Promise::Nothing) => None,
        _ => Some(false),
    }
}

/// Bytes from its beginning by which a layer is judged.
pub(crate) const HEAD_BYTES: usize = HEAD;

const GZIP: &str = "gzip";
const ZSTD: &str = "Zstandard";
const ELF: &str = "an ELF program";
const COMPRESSED: [&str; 5] = [GZIP, ZSTD, "bzip2", "xz", "lz4"];

/// What content begins as; none where it begins as nothing in particular.
fn kind(head: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    // RFC 8878, 3.1.2: a skippable frame may come first.
    let skippable = head.len() >= 4 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == [0x2a, 0x4d, 0x18];
    match () {
        () if begins(b"\x1f\x8b") => Some(GZIP),
        () if begins(b"\x28\xb5\x2f\xfd") || skippable => Some(ZSTD),
        () if begins(b"BZh") => Some("bzip2"),
        () if begins(b"\xfd7zXZ\0") => Some("xz"),
        () if begins(b"\x04\x22\x4d\x18") => Some("lz4"),
        () if begins(b"\x7fELF") => Some(ELF),
        () if begins(b"PK\x03\x04") => Some("a zip archive"),
        () if begins(b"#!") => Some("a script"),
        () if head.get(257..262) == Some(b"ustar") => Some("a tar archive"),
        () if head.is_empty() => Some("empty"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::OCI_MANIFEST;

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    fn told(media_type: &str, role: BlobRole, content: &[u8]) -> String {
        let mut watch = Watch::new(media_type, role);
        content.chunks(3).for_each(|piece| watch.push(piece));
        watch.finish().map_or_else(|mismatch| mismatch.found, |()| "fits".to_owned())
    }

    fn layer(media_type: &str, content: &[u8]) -> String {
        told(media_type, BlobRole::Layer, content)
    }

    #[test]
    fn layers_are_what_runtimes_will_take_them_for() {
        let (gzip, zstd) = (b"\x1f\x8b\x08rest".as_slice(), b"\x28\xb5\x2f\xfdrest".as_slice());
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(layer(&format!("{LAYER}+gzip"), gzip), "fits");
        assert_eq!(layer(DOCKER_LAYER, gzip), "fits");
        assert_eq!(layer(&format!("{LAYER}+zstd"), zstd), "fits");
        assert_eq!(layer(&format!("{LAYER}+zstd"), b"\x50\x2a\x4d\x18skip"), "fits");
        assert_eq!(layer(LAYER, &tar), "fits");
        assert_eq!(layer(LAYER, b"what oras calls so"), "fits");
        assert_eq!(layer("application/octet-stream", gzip), "fits");
        assert_eq!(layer(&format!("{LAYER}+gzip"), zstd), "is Zstandard");
        assert_eq!(layer(&format!("{LAYER}+gzip"), &tar), "is a tar archive");
        assert_eq!(layer(DOCKER_LAYER, b"\x7fELF"), "is an ELF program");
        assert_eq!(layer(LAYER, gzip), "is gzip");
        assert_eq!(layer(LAYER, b"\xfd7zXZ\0"), "is xz");
        assert_eq!(layer(&format!("{LAYER}+gzip"), b""), "is empty");
        assert_eq!(layer(BINARY, b"#!/bin/sh\n"), "is a script");
        assert_eq!(layer("application/vnd.in-toto+json", b" {}"), "fits");
        assert_eq!(layer("application/vnd.in-toto+json", b"PK\x03\x04"), "is a zip archive");
    }

    #[test]
    fn an_index_is_no_manifest_and_neither_is_both() {
        let index = |text: &str| told(OCI_INDEX, BlobRole::Index, text.as_bytes());
        let manifest = |text: &str| told(OCI_MANIFEST, BlobRole::Manifest, text.as_bytes());
        assert_eq!(index(r#"{"manifests":[]}"#), "fits");
        assert_eq!(manifest(r#"{"config":{},"layers":[]}"#), "fits");
        assert_eq!(
            manifest(&format!(r#"{{"mediaType":"{OCI_INDEX}","layers":[]}}"#)),
            format!("says itself that it is {OCI_INDEX}")
        );
        assert_eq!(index(r#"{"manifests":[],"layers":[]}"#), "is no list of manifests");
        assert_eq!(manifest(r#"{"manifests":[],"layers":[]}"#), "is a list of manifests");
        assert_eq!(index(r#"{"layers":[]}"#), "is no list of manifests");
        assert_eq!(manifest("[1]"), "is no such JSON document");
        assert_eq!(manifest("[null,null,[],{}]"), "is no such JSON document");
        let bomb = format!("{{\"layers\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(manifest(&bomb), "is no such JSON document");
        assert_eq!(manifest("\x1f"), "is no such JSON document");
        assert_eq!(
            told(OCI_INDEX, BlobRole::Manifest, br#"{"manifests":[]}"#),
            "stands in the place of an image manifest"
        );
        assert_eq!(told(OCI_MANIFEST, BlobRole::Index, br#"{"layers":[]}"#), "stands in the place of an index");
        assert_eq!(manifest(&" ".repeat(MAX_MANIFEST + 1)), "is longer than 4194304 bytes");
    }
}
