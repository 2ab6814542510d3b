//! Registries (OCI distribution specification 1.1, "Pull").

use std::fmt;

use sealock_trust::Digest;
use serde::Deserialize;

use crate::error::FetchError;
use crate::http::{Expected, Http, Request};
use crate::upstream::Failure;

/// A manifest is larger nowhere (distribution specification: at least 4 MiB must be accepted).
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Descriptors in one manifest or index.
const DESCRIPTORS: usize = 4096;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A repository of a registry, under its real names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The real host, `docker.io` for instance.
    pub(crate) host: String,
    /// The path behind it.
    pub(crate) path: String,
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// A reference to other content (image specification 1.1, "Content Descriptors"), as far as it is used here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// A manifest or index as it came, byte for byte, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) content: Content,
}

impl Fetched {
    /// The descriptor by which others name it.
    pub(crate) fn descriptor(&self) -> serde_json::Value {
        serde_json::json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// What a manifest says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Several manifests, one per platform.
    Index(Vec<Descriptor>),
    /// One image or artifact.
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Http {
    /// The manifest behind a tag or digest.
    pub(crate) async fn manifest(&self, repository: &Repository, reference: &str) -> Result<Fetched, FetchError> {
        let pinned: Option<Digest> = reference.parse().ok();
        let separator = if pinned.is_some() { '@' } else { ':' };
        let wanted = format!("{repository}{separator}{reference}");
        let mut request = self.oci_request(&wanted, repository, &format!("manifests/{reference}"))?;
        request.accept = Some(ACCEPT);
        let expected = Expected { digest: pinned, size: None, limit: MANIFEST_LIMIT };
        let (bytes, landed) = self.read(&request, &expected).await?;
        let (media_type, content) = parse(&bytes).map_err(|reason| request.failed(Failure::Malformed(reason)))?;
        Ok(Fetched { digest: landed.digest, media_type, bytes, content })
    }

    /// The request for a blob.
    pub(crate) fn blob_request(&self, repository: &Repository, digest: &Digest) -> Result<Request, FetchError> {
        self.oci_request(&format!("{repository}@{digest}"), repository, &format!("blobs/{digest}"))
    }

    /// The request for a manifest by its digest.
    pub(crate) fn manifest_request(&self, repository: &Repository, digest: &Digest) -> Result<Request, FetchError> {
        let request =
            self.oci_request(&format!("{repository}@{digest}"), repository, &format!("manifests/{digest}"))?;
        Ok(Request { accept: Some(ACCEPT), ..request })
    }

    fn oci_request(&self, wanted: &str, repository: &Repository, rest: &str) -> Result<Request, FetchError> {
        let request = self.registry_request(wanted, &repository.host, &repository.path, rest);
        request.ok_or_else(|| FetchError::Address { name: wanted.to_owned() })
    }
}

/// Media type and content; the error says what is wrong. What reads as both index and image is refused (CVE-2021-41190).
fn parse(bytes: &[u8]) -> Result<(String, Content), String> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest ({error})"))?;
    if raw.schema_version != 2 {
        return Err(format!("it is a manifest of schema version {}, and only 2 is understood", raw.schema_version));
    }
    let (default, content) = match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) => (INDEX, Content::Index(manifests)),
        (None, Some(config), Some(layers)) => (MANIFEST, Content::Manifest { config, layers }),
        (Some(_), _, _) => return Err("it reads as an index and as an image at once".to_owned()),
        (None, _, _) => return Err("it has neither manifests nor config and layers".to_owned()),
    };
    let media_type = raw.media_type.unwrap_or_else(|| default.to_owned());
    let fits = match &content {
        Content::Index(_) => [INDEX, DOCKER_LIST].contains(&media_type.as_str()),
        Content::Manifest { .. } => [MANIFEST, DOCKER_MANIFEST].contains(&media_type.as_str()),
    };
    if !fits {
        return Err(format!("its media type {media_type:?} does not fit what it is"));
    }
    let descriptors = match &content {
        Content::Index(manifests) => manifests.len(),
        Content::Manifest { layers, .. } => layers.len(),
    };
    if descriptors > DESCRIPTORS {
        return Err(format!("it lists {descriptors} things, and at most {DESCRIPTORS} are borne"));
    }
    Ok((media_type, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_as_two_things_is_refused() {
        let layer = r#"{"mediaType":"x","size":1,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;
        let both = format!(r#"{{"schemaVersion":2,"manifests":[{layer}],"config":{layer},"layers":[{layer}]}}"#);
        assert_eq!(parse(both.as_bytes()).unwrap_err(), "it reads as an index and as an image at once");
        let lying = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","config":{layer},"layers":[{layer}]}}"#);
        assert!(parse(lying.as_bytes()).unwrap_err().contains("does not fit"));
        let old = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(parse(old).unwrap_err().contains("schema version 1"));
        let fine = format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[]}}"#);
        assert_eq!(parse(fine.as_bytes()).unwrap().0, MANIFEST);
    }
}
