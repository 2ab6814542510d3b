//! Want-lists: what a delta relies on and the site does not have (docs/formats/want-list.md).

use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::json::{self, Limits, jcs};
use sealock_trust::reason::Code;
use sealock_trust::{Digest, SiteId, StreamName};
use serde::{Deserialize, Serialize};

use crate::lock::BlobRole;

/// The value of `format`.
pub const FORMAT: &str = format::WANT_LIST.current;

/// What a site lacks of one delta. Nobody signs it: all that it can do is to have more carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WantList {
    /// [`FORMAT`].
    pub format: String,
    /// The site that wants.
    pub site: SiteId,
    /// The stream of the delta.
    pub stream: StreamName,
    /// The sequence of the delta.
    pub sequence: u64,
    /// The digest of the delta's manifest.
    pub manifest: Digest,
    /// What is wanted, sorted by digest.
    pub blobs: Vec<WantedBlob>,
}

/// One blob that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WantedBlob {
    /// The blob that a patch makes it of, where that is what the site lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// Its name.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// What it is for.
    pub role: BlobRole,
    /// The artifacts that need it, sorted; as far as the manifests that lead there are at hand.
    pub needed_by: Vec<String>,
}

/// Why bytes are not a want-list.
#[derive(Debug, thiserror::Error)]
pub enum WantError {
    /// Not canonical JSON with the fields of a want-list.
    #[error("this is not a want-list, or it was edited by hand")]
    Json(#[source] json::Error),
    /// Of a major version that this Sealock does not know.
    #[error("the want-list is not of a version that is read here")]
    Format(#[source] UnknownFormat),
}

impl WantError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(source) => source.code(),
            Self::Format(_) => Code::Format,
        }
    }

    /// True: the same bytes are refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

impl WantList {
    /// Reads a want-list as [`WantList::to_bytes`] writes it.
    ///
    /// # Errors
    /// When it is not canonical, or of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WantError> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let list = format::read(text, &Limits::MANIFEST, format::WANT_LIST, |list: &Self| &list.format);
        list.map_err(|error| error.either(WantError::Json, WantError::Format))
    }

    /// The want-list as canonical JSON and a line feed.
    ///
    /// # Errors
    /// When a text in it holds what canonical JSON may not.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WantError> {
        let mut bytes = jcs::to_vec(self).map_err(WantError::Json)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Bytes of all that is wanted.
    pub fn size(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> WantList {
        WantList {
            format: FORMAT.to_owned(),
            site: "plant-7".parse().unwrap(),
            stream: "base".parse().unwrap(),
            sequence: 2,
            manifest: Digest::sha256(b"manifest"),
            blobs: vec![WantedBlob {
                base: None,
                digest: Digest::sha256(b"layer"),
                size: 5,
                media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
                role: BlobRole::Layer,
                needed_by: vec!["registry.k8s.io/pause:3.10.2".to_owned()],
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(WantList::from_bytes(&bytes).unwrap(), sample());
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"blobs":[{"digest":"sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85","media-type":"application/vnd.oci.image.layer.v1.tar+gzip","needed-by":["registry.k8s.io/pause:3.10.2"],"role":"layer","size":5}],"format":"want-list/1.0","manifest":"sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f","sequence":2,"site":"plant-7","stream":"base"}"#);
    }

    #[test]
    fn a_base_that_is_missing_is_named() {
        let mut list = sample();
        list.blobs[0].base = Some(Digest::sha256(b"base"));
        let bytes = list.to_bytes().unwrap();
        assert_eq!(WantList::from_bytes(&bytes).unwrap(), list);
        assert!(String::from_utf8(bytes).unwrap().contains(r#"{"blobs":[{"base":"sha256:"#));
    }

    #[test]
    fn another_format_is_refused() {
        let other = WantList { format: "want-list/2.0".to_owned(), ..sample() };
        let error = WantList::from_bytes(&other.to_bytes().unwrap()).unwrap_err();
        assert_eq!((error.code(), error.is_refusal()), (Code::Format, true));
        assert_eq!(WantList::from_bytes(b"{}").unwrap_err().code(), Code::Format);
    }
}
