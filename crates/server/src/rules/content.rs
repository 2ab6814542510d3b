//! As much of a manifest as rules look at (OCI image specification 1.1; Docker's schema 2 alike).

use sealock_trust::Digest;
use serde::Deserialize;

/// Longest manifest (OCI distribution specification 1.1: at least 4 MiB), in bytes.
const LONGEST: usize = 4 << 20;

/// A manifest or an index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    pub(crate) artifact_type: Option<String>,
    #[serde(default)]
    pub(crate) config: Option<Part>,
    #[serde(default)]
    pub(crate) layers: Vec<Part>,
    #[serde(default)]
    pub(crate) manifests: Vec<Part>,
    #[serde(default)]
    pub(crate) subject: Option<Part>,
}

/// A descriptor.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    /// Empty where nobody says.
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    #[serde(default)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST {
            return Err(format!("it has {} bytes, and at most {LONGEST} are read", bytes.len()));
        }
        // A list would be read as the fields in their order.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err("it is no JSON object".to_owned());
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Every media type that it names, but for what an index lists: that is judged by itself.
    pub(crate) fn types(&self) -> impl Iterator<Item = &str> {
        let own = [self.media_type.as_deref(), self.artifact_type.as_deref()].into_iter().flatten();
        let parts = self.config.iter().chain(&self.layers).map(|part| part.media_type.as_str());
        own.chain(parts).filter(|found| !found.is_empty())
    }
}
