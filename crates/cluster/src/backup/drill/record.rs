//! What a drill came to, as the site signs it (docs/formats/drill.md).

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::dsse::Envelope;
use sealock_trust::format;
use sealock_trust::json::{Limits, jcs};
use sealock_trust::site::{SiteKeys, SiteRoot};
use sealock_trust::statement::{PAYLOAD_TYPE, Statement};
use serde::{Deserialize, Serialize};

use crate::backup::BackupError;

/// The kind of statement.
pub const PREDICATE_TYPE: &str = "https://sealock.example/drill/v1";
/// How a file is named in a record where its name is none for JSON.
const UNNAMED: &str = "a backup";

/// What a drill came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// `drill/1.0`.
    pub format: String,
    /// The site.
    pub site: String,
    /// The cluster; absent for a backup of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The Sealock that drilled.
    pub sealock: String,
    /// When it began, by the clock of the machine where it ran, to the second.
    pub begun: Timestamp,
    /// How long it took, in milliseconds: what a restore takes before hosts are asked.
    pub took_ms: u64,
    /// Which backup it was; absent where its table of contents was not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Drilled>,
    /// Whether all checks were passed.
    pub verdict: Verdict,
    /// Where they were not: the reason code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was checked, in its order.
    pub checks: Vec<Check>,
}

/// Which backup was drilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drilled {
    /// What names it.
    pub digest: Digest,
    /// When it was taken.
    pub taken: Timestamp,
    /// How old it was when the drill began, in seconds: what would be lost.
    pub age_seconds: i64,
    /// By what the cluster is known that it was taken from: the hash of its authority's key. Absent for a backup of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_hash: Option<String>,
}

/// What a drill, or a check of one, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it has to be.
    Passed,
    /// It is not.
    Failed,
    /// There was nothing to check.
    Absent,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Check {
    /// What.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, in words.
    pub found: String,
}

/// A record, and the file that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The name of the file, without its folder.
    pub file: String,
    /// The SHA-256 of the whole file.
    pub digest: Digest,
    /// What the drill came to.
    pub record: Record,
}

impl Evidence {
    /// The statement in its envelope, signed by the site.
    ///
    /// # Errors
    /// It cannot be written canonically, or the key does not sign.
    pub fn sign(&self, keys: &SiteKeys) -> Result<Vec<u8>, BackupError> {
        let is_plain = !self.file.is_empty() && !self.file.contains(char::is_control);
        let name = if is_plain { &self.file } else { UNNAMED };
        let statement = Statement::new(PREDICATE_TYPE, name, &self.digest, self.record.clone());
        let payload = jcs::to_vec(&statement)?;
        Ok(Envelope::sign(PAYLOAD_TYPE, &payload, &[keys.signer()])?.to_json()?)
    }

    /// What the envelope in `bytes` says, if `site` has signed it and it is about that site.
    ///
    /// # Errors
    /// It is not the site's, is malformed, or a statement of another kind.
    pub fn open(bytes: &[u8], site: &SiteRoot) -> Result<Self, BackupError> {
        let envelope = Envelope::from_json(bytes)?;
        let evidence = read(envelope.verify(PAYLOAD_TYPE, site.site_keys())?)?;
        match site.id().as_str() {
            wanted if evidence.record.site == wanted => Ok(evidence),
            wanted => Err(BackupError::layout(format!(
                "it is a record of site {}, and this is {wanted}",
                evidence.record.site
            ))),
        }
    }

    /// What the envelope in `bytes` says, whoever has signed it.
    ///
    /// # Errors
    /// It is malformed, or a statement of another kind.
    pub fn unverified(bytes: &[u8]) -> Result<Self, BackupError> {
        let envelope = Envelope::from_json(bytes)?;
        read(envelope.unverified(PAYLOAD_TYPE)?)
    }

    /// Whether the drill was passed: a record that does not say which backup it was says nothing of one.
    pub fn is_passed(&self) -> bool {
        self.record.verdict == Verdict::Passed && self.record.backup.is_some()
    }
}

fn read(payload: &[u8]) -> Result<Evidence, BackupError> {
    let read =
        format::read(payload, &Limits::DOCUMENT, format::DRILL, |one: &Statement<Record>| &one.predicate().format);
    let statement = read.map_err(|error| error.either(BackupError::Json, BackupError::Format))?;
    let other = |_| BackupError::layout("this is no record of a drill of one file");
    let (file, digest, record) = statement.about_one(PREDICATE_TYPE).map_err(other)?;
    Ok(Evidence { file, digest, record })
}
