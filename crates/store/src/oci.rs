//! Manifests as the OCI image specification 1.1 has them: read only as far as a registry must, and kept byte for byte.

use bytes::Bytes;
use sealock_trust::Digest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What containerd reads at most; in bytes.
pub const LONGEST_MANIFEST: u64 = 4 << 20;

/// How deep the JSON of a manifest may nest: deeper than any that means something, and no parser fails on it.
pub const DEEPEST_JSON: usize = 64;

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
    /// 2 of all that there are.
    #[serde(default)]
    pub schema_version: Option<u64>,
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
    /// What [`Manifest::annotations`] reads.
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// An object, kept as text: a registry holds all its manifests in memory, and hands these out rarely.
#[derive(Debug)]
struct Annotations(Box<RawValue>);

impl Annotations {
    fn read(&self) -> Result<Map<String, Value>, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let annotations = Self(Box::deserialize(deserializer)?);
        annotations.read().map_err(D::Error::custom)?;
        Ok(annotations)
    }
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

    /// Whatever its maker wants to say.
    pub fn annotations(&self) -> Option<Map<String, Value>> {
        self.parts.annotations.as_ref()?.read().ok()
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

/// Whether the JSON text `bytes` nests deeper than [`DEEPEST_JSON`].
pub fn nests_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_JSON {
            return true;
        }
    }
    false
}

impl Descriptor {
    /// Layers that a client fetches from elsewhere, so that no registry needs to hold them.
    pub fn is_distributed_elsewhere(&self) -> bool {
        !self.urls.is_empty() || self.media_type.contains("nondistributable") || self.media_type.contains(".foreign.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_an_object_or_nothing() {
        let parse = |annotations: &str| {
            let text = format!(r#"{{"schemaVersion":2{annotations}}}"#);
            Manifest::parse(Digest::sha256(text.as_bytes()), "x", text.into_bytes().into())
        };
        let said =
            |annotations: &str| parse(annotations).unwrap().annotations().map(|map| Value::from(map).to_string());
        assert_eq!(said(r#","annotations":{"b":"1","a":{"c":[]}}"#).as_deref(), Some(r#"{"a":{"c":[]},"b":"1"}"#));
        assert_eq!(said(r#","annotations":{}"#).as_deref(), Some("{}"));
        assert_eq!((said(r#","annotations":null"#), said("")), (None, None));
        for wrong in ["5", r#"["a"]"#, r#""a""#, r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
            assert!(parse(&format!(r#","annotations":{wrong}"#)).is_err(), "{wrong}");
        }
        let no_text = b"{\"annotations\":{\"a\":\"\xff\"}}";
        assert!(Manifest::parse(Digest::sha256(no_text), "x", no_text.as_slice().into()).is_err());
    }

    #[test]
    fn brackets_count_outside_of_texts_only() {
        let nested = |depth: usize| [b"{\"x\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat();
        assert!(!nests_too_deep(&nested(DEEPEST_JSON)));
        assert!(nests_too_deep(&nested(DEEPEST_JSON + 1)));
        assert!(!nests_too_deep(format!("[\"{}\"]", "\\\"[".repeat(100)).as_bytes()));
        assert!(!nests_too_deep("[[],[],{}],".repeat(100).as_bytes()));
    }
}
