//! Receipts: the site's signed word on a bundle, and the base of the next delta.
//!
//! An in-toto statement (v1) whose subject is the manifest, in a DSSE envelope signed by the site.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::{DsseError, Envelope};
use crate::format::{self, UnknownFormat};
use crate::json::{self, Limits, jcs};
use crate::names::{Justification, SiteId, StreamName};
use crate::reason::Code;
use crate::role::KeySet;
use crate::signer::{SignError, Signer};
use crate::statement::{Misfit, Statement};
use crate::utc;

pub use crate::statement::PAYLOAD_TYPE;

/// The kind of statement.
pub const PREDICATE_TYPE: &str = "https://sealock.example/receipt/v1";
/// The predicate's format.
pub const FORMAT: &str = format::RECEIPT.current;

const SUBJECT_NAME: &str = "manifest.json";

/// What the site made of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was accepted, and its content is served.
    Accepted,
    /// It was refused.
    Refused,
}

/// The site's word on one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The digest of the bundle's `manifest.json`.
    pub manifest: Digest,
    /// The site.
    pub site: SiteId,
    /// The stream.
    pub stream: StreamName,
    /// The bundle's sequence.
    pub sequence: u64,
    /// What was made of it.
    pub verdict: Verdict,
    /// Why it was refused: a reason code.
    pub code: Option<String>,
    /// The manifests of this publisher's bundles that the site still holds, and nothing of anyone else's.
    pub held: Vec<Digest>,
    /// When.
    pub issued: Timestamp,
    /// The generation of the trust state that remembers the acceptance: whoever keeps the receipt can tell an older one.
    pub generation: Option<u64>,
    /// What was let pass at this acceptance.
    pub exceptions: Vec<Exception>,
}

/// Something that is refused as a rule, and was let pass on somebody's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Exception {
    /// Sequences of the stream were skipped.
    Gap {
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The soft expiry had passed.
    Stale {
        /// When.
        #[serde(with = "utc")]
        since: Timestamp,
        /// Why it was taken all the same, where that had to be said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Justification>,
    },
    /// A glass was broken.
    BreakGlass {
        /// The digest of the token.
        token: Digest,
        /// Why, as the token says.
        reason: Justification,
        /// The reason codes of what would have been refused.
        codes: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    format: String,
    site: SiteId,
    stream: StreamName,
    sequence: u64,
    verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    held: Vec<Digest>,
    #[serde(with = "utc")]
    issued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Exception>,
}

/// Why a receipt is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the receipt's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a receipt.
    #[error("the receipt's content is malformed")]
    Json(#[from] json::Error),
    /// A receipt of another version.
    #[error("the receipt is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// A statement of another kind, or about something else than one manifest.
    #[error("this is no receipt for one manifest: {0}")]
    Statement(&'static str),
    /// The signer did not sign.
    #[error("signing the receipt failed")]
    Sign(#[from] SignError),
}

impl ReceiptError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Envelope(source) => Some(source.code()),
            Self::Json(source) => Some(source.code()),
            Self::Format(source) => Some(source.code()),
            Self::Statement(_) => Some(Code::Subject),
            Self::Sign(_) => None,
        }
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}

impl Receipt {
    /// The signed receipt: the file that goes back to the publisher.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, ReceiptError> {
        let payload = jcs::to_vec(&Statement::from(self))?;
        Ok(Envelope::sign(PAYLOAD_TYPE, &payload, &[signer])?.to_json()?)
    }

    /// Reads a receipt that `site_keys` signed.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(bytes: &[u8], site_keys: &KeySet) -> Result<Self, ReceiptError> {
        let envelope = Envelope::from_json(bytes)?;
        Self::try_from(read(envelope.verify(PAYLOAD_TYPE, site_keys)?)?)
    }
}

/// The site that a receipt says it is from, unverified: for choosing the site root that it is checked with.
///
/// # Errors
/// [`ReceiptError`] where it is no receipt.
pub fn claimed_site(bytes: &[u8]) -> Result<SiteId, ReceiptError> {
    let envelope = Envelope::from_json(bytes)?;
    Ok(Receipt::try_from(read(envelope.unverified(PAYLOAD_TYPE)?)?)?.site)
}

fn read(payload: &[u8]) -> Result<Statement<Predicate>, ReceiptError> {
    let statement =
        format::read(payload, &Limits::DOCUMENT, format::RECEIPT, |one: &Statement<Predicate>| &one.predicate().format);
    statement.map_err(|error| error.either(ReceiptError::Json, ReceiptError::Format))
}

impl From<&Receipt> for Statement<Predicate> {
    fn from(receipt: &Receipt) -> Self {
        let predicate = Predicate {
            format: FORMAT.to_owned(),
            site: receipt.site.clone(),
            stream: receipt.stream.clone(),
            sequence: receipt.sequence,
            verdict: receipt.verdict,
            code: receipt.code.clone(),
            held: receipt.held.clone(),
            issued: receipt.issued,
            generation: receipt.generation,
            exceptions: receipt.exceptions.clone(),
        };
        Self::new(PREDICATE_TYPE, SUBJECT_NAME, &receipt.manifest, predicate)
    }
}

impl TryFrom<Statement<Predicate>> for Receipt {
    type Error = ReceiptError;

    fn try_from(statement: Statement<Predicate>) -> Result<Self, ReceiptError> {
        let misfit = |misfit| {
            ReceiptError::Statement(match misfit {
                Misfit::Kind => "its type is another one",
                Misfit::OneSubject => "it has not exactly one subject",
                Misfit::Sha256 => "its subject is no manifest.json by SHA-256",
            })
        };
        let (name, manifest, predicate) = statement.about_one(PREDICATE_TYPE).map_err(misfit)?;
        if name != SUBJECT_NAME {
            return Err(misfit(Misfit::Sha256));
        }
        let Predicate { format: _, site, stream, sequence, verdict, code, held, issued, generation, exceptions } =
            predicate;
        Ok(Self { manifest, site, stream, sequence, verdict, code, held, issued, generation, exceptions })
    }
}
