//! Tables of contents: canonical JSON that the site signs.

use sealock_trust::dsse::Envelope;
use sealock_trust::format::{self, Format};
use sealock_trust::json::{Limits, jcs};
use sealock_trust::site::{SiteKeys, SiteRoot};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BackupError;

const LIMITS: Limits = Limits { bytes: 48 << 10, depth: 8, entries: 1024 };

/// A table of contents.
pub(super) trait Table: Serialize + DeserializeOwned {
    /// What the envelope says it holds.
    const PAYLOAD_TYPE: &'static str;
    /// Its format.
    const FORMAT: &'static Format;

    /// What it says of its format.
    fn format(&self) -> &str;
}

/// The envelope that the site signs.
pub(super) fn sign<T: Table>(table: &T, keys: &SiteKeys) -> Result<Vec<u8>, BackupError> {
    let payload = jcs::to_vec(table)?;
    let envelope = Envelope::sign(T::PAYLOAD_TYPE, &payload, &[keys.signer()])?;
    Ok(envelope.to_json()?)
}

/// What the envelope in `bytes` says, if `site` has signed it.
pub(super) fn open<T: Table>(bytes: &[u8], site: &SiteRoot) -> Result<T, BackupError> {
    let envelope = Envelope::from_json(bytes)?;
    read(envelope.verify(T::PAYLOAD_TYPE, site.site_keys())?)
}

/// What the envelope in `bytes` says, whoever has signed it.
pub(super) fn unverified<T: Table>(bytes: &[u8]) -> Result<T, BackupError> {
    let envelope = Envelope::from_json(bytes)?;
    read(envelope.unverified(T::PAYLOAD_TYPE)?)
}

fn read<T: Table>(payload: &[u8]) -> Result<T, BackupError> {
    let read = format::read(payload, &LIMITS, T::FORMAT, T::format);
    read.map_err(|error| error.either(BackupError::Json, BackupError::Format))
}
