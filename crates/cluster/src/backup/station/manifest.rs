//! The table of contents of a station's backup, which the site signs.

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format::{self, Format};
use sealock_trust::site::{SiteKeys, SiteRoot};
use serde::{Deserialize, Serialize};

use crate::backup::table::{self, Table};
use crate::backup::{BackupError, Payload};
use crate::plan::ReleaseId;

/// The table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StationManifest {
    /// `site-backup/1.0`.
    pub format: String,
    /// The site.
    pub site: String,
    /// When it was begun, by the station's clock, to the second.
    pub taken: Timestamp,
    /// The Sealock that took it.
    pub sealock: String,
    /// The generation of the trust state.
    pub generation: u64,
    /// What the site served then; nothing before the first import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The bundles that this release is made of: they bring its content again.
    pub bundles: Vec<Bundle>,
    /// The clusters that the station has, sorted.
    pub clusters: Vec<String>,
    /// Who can open it: age recipients, sorted.
    pub recipients: Vec<String>,
    /// How many files are in it.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The encrypted content.
    pub payload: Payload,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bundle {
    /// Its stream.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
}

impl Table for StationManifest {
    const PAYLOAD_TYPE: &'static str = "application/vnd.sealock.site-backup.v1+json";
    const FORMAT: &'static Format = format::SITE_BACKUP;

    fn format(&self) -> &str {
        &self.format
    }
}

impl StationManifest {
    /// The envelope that the site signs.
    ///
    /// # Errors
    /// It cannot be written canonically, or the key does not sign.
    pub fn sign(&self, keys: &SiteKeys) -> Result<Vec<u8>, BackupError> {
        table::sign(self, keys)
    }

    /// What the envelope in `bytes` says, if `site` has signed it.
    ///
    /// # Errors
    /// It is not the site's, or is malformed.
    pub fn open(bytes: &[u8], site: &SiteRoot) -> Result<Self, BackupError> {
        table::open(bytes, site)
    }

    /// What the envelope in `bytes` says, whoever has signed it.
    ///
    /// # Errors
    /// It is malformed.
    pub fn unverified(bytes: &[u8]) -> Result<Self, BackupError> {
        table::unverified(bytes)
    }
}
