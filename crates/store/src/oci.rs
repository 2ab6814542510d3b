//! Manifests as the OCI image specification 1.1 has them: read only as far as a registry must, and kept byte for byte.

use bytes::Bytes;
use sealock_trust::Digest;
use serde::Deserialize;

/// What containerd reads at most; in bytes.
pub const LONGEST_MANIFEST: u64 = 4 << 20;

/// A manifest or an image index, byte for byte, with what is derived from it.
#[derive(Debug)]
pub struct Manifest {
    /// Of the bytes.
    pub digest: Digest,
    /// As whoever brought it called it.
    pub media_type: String,
    /// As they came.
    pub bytes: Bytes,
    /// What they say.
    pub parts: Parts,
}

/// The fields of a manifest or index that the registry looks at (OCI image specification 1.1). Everything else is carried unread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// What it calls itself.
    #[serde(default)]
    pub media_type: Option<String>,
    /// What an artifact is.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Of a manifest.
    #[serde(default)]
    pub config: Option<Descriptor>,
    /// Of a manifest.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// Of an index.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// What it is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Whatever its maker wants to say.
    #[serde(default)]
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What a manifest says about something it refers to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Where else it is to be had.
    #[serde(default)]
    pub urls: Vec<String>,
}

impl Manifest {
    /// Reads `bytes`, whose digest is `digest`.
    ///
    /// # Errors
    /// What the parser says where they are no manifest.
    pub fn parse(digest: Digest, media_type: &str, bytes: Bytes) -> Result<Self, serde_json::Error> {
        let parts: Parts = serde_json::from_slice(&bytes)?;
        let media_type =
            if media_type.is_empty() { parts.media_type.clone().unwrap_or_default() } else { media_type.into() };
        Ok(Self { digest, media_type, bytes, parts })
    }

    /// What it is made of, but for its subject, which need not be there.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.parts.config.iter().chain(&self.parts.layers).chain(&self.parts.manifests)
    }

    /// Its own field, or else the type of its config (OCI distribution specification 1.1, "Listing Referrers").
    pub fn artifact_type(&self) -> Option<&str> {
        let of_config = || self.parts.config.as_ref().map(|config| config.media_type.as_str());
        self.parts.artifact_type.as_deref().filter(|kind| !kind.is_empty()).or_else(of_config)
    }
}

impl Descriptor {
    /// Layers that a client fetches from elsewhere, so that no registry needs to hold them.
    pub fn is_distributed_elsewhere(&self) -> bool {
        !self.urls.is_empty() || self.media_type.contains("nondistributable") || self.media_type.contains(".foreign.")
    }
}
