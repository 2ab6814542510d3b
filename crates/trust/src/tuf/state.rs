//! What a site remembers of a stream.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::key::KeyId;
use crate::names::{RoleName, StreamName};
use crate::utc;

/// The last bundle of a stream that was accepted. It only ever moves forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// The stream.
    pub stream: StreamName,
    /// Its sequence.
    pub sequence: u64,
    /// The digest of its `manifest.json`.
    pub manifest: Digest,
    /// When it was issued, as the publisher signed it: time never runs behind this.
    #[serde(with = "utc")]
    pub issued: Timestamp,
    /// The keys that signed it.
    pub signers: Vec<KeyId>,
    /// The version of the root it was verified under.
    pub root_version: u64,
    /// The versions of vendors' files, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delegated: BTreeMap<RoleName, u64>,
}

impl StreamState {
    /// Whether a bundle issued at `issued` may follow with any sequence, once the keys that signed this one were rotated away.
    pub(crate) fn may_begin_anew_at(&self, issued: Option<Timestamp>) -> bool {
        issued.unwrap_or(Timestamp::UNIX_EPOCH) >= self.issued
    }
}
