//! Revocation lists: a publisher's word that digests or keys of his must not be used any more.
//!
//! A DSSE envelope signed by the revoker role of the publisher's root. A list only ever grows: what a stolen revoker key
//! could take back, it could take back unseen. Only the root's own keys may drop an entry.

mod error;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use error::RevocationError;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::format;
use crate::json::{Limits, jcs};
use crate::key::KeyId;
use crate::names::Justification;
use crate::role::KeySet;
use crate::signer::Signer;
use crate::tuf::{MAX_SKEW, Root};
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.revocations.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = format::REVOCATIONS.current;
/// Entries of one list at most.
pub const MAX_ENTRIES: usize = 3000;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A manifest, image, chart or blob, wherever it is named.
    Digest(Digest),
    /// A publisher's key: what it signed alone counts no longer.
    Key(KeyId),
}

/// Why something is revoked, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What is revoked.
    pub subject: Subject,
    /// Why.
    pub reason: Justification,
    /// When it was revoked.
    #[serde(with = "utc")]
    pub revoked: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    /// The SHA-256 of a root file of the publisher: any one of the chain.
    root: Digest,
    version: u64,
    #[serde(with = "utc")]
    issued: Timestamp,
    #[serde(with = "utc")]
    expires: Timestamp,
    /// Sorted by subject, each once.
    entries: Vec<Entry>,
}

/// What a list is to say beside its entries.
#[derive(Clone, Debug)]
pub struct ListTerms {
    /// When it is issued.
    pub issued: Timestamp,
    /// From then on a newer one is due.
    pub expires: Timestamp,
}

/// A revocation list; whose word it is only [`RevocationList::verify`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    document: Document,
    envelope: Envelope,
}

/// A revocation list that is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedList {
    list: RevocationList,
    by_root: bool,
    by_publisher: bool,
}

impl RevocationList {
    /// Makes the list that follows `previous`, or the first one, of the publisher with the root file `root`. Nobody has
    /// signed it yet. `dropped` is what is taken back; only the root's keys may sign that.
    ///
    /// # Errors
    /// [`RevocationError::TooMany`], [`RevocationError::Json`].
    pub fn make(
        root: &[u8],
        previous: Option<&Self>,
        terms: &ListTerms,
        added: impl IntoIterator<Item = Entry>,
        dropped: &BTreeSet<Subject>,
    ) -> Result<Self, RevocationError> {
        let mut entries: BTreeMap<Subject, Entry> = BTreeMap::new();
        let before = previous.map_or(&[][..], |previous| previous.entries());
        for entry in before.iter().filter(|entry| !dropped.contains(&entry.subject)).cloned().chain(added) {
            // What was revoked first, and why, stays.
            entries.entry(entry.subject.clone()).or_insert(entry);
        }
        let document = Document {
            format: FORMAT.to_owned(),
            root: Digest::sha256(root),
            version: previous.map_or(1, |previous| previous.version() + 1),
            issued: terms.issued,
            expires: terms.expires,
            entries: entries.into_values().collect(),
        };
        document.check()?;
        let payload = jcs::to_vec(&document)?;
        if payload.len() > Limits::DOCUMENT.bytes {
            return Err(RevocationError::TooMany);
        }
        let envelope = Envelope::sign(PAYLOAD_TYPE, &payload, &[])?;
        Ok(Self { document, envelope })
    }

    /// Reads a list that may lack signatures.
    ///
    /// # Errors
    /// [`RevocationError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RevocationError> {
        let envelope = Envelope::from_json(bytes)?;
        let payload = envelope.unverified(PAYLOAD_TYPE)?;
        let document = format::read(payload, &Limits::DOCUMENT, format::REVOCATIONS, |one: &Document| &one.format);
        let document = document.map_err(|error| error.either(RevocationError::Json, RevocationError::Format))?;
        document.check()?;
        Ok(Self { document, envelope })
    }

    /// Adds signatures to those there are: keyholders may sign one after the other.
    ///
    /// # Errors
    /// [`RevocationError::Sign`].
    pub fn add_signatures(&mut self, signers: &[&dyn Signer]) -> Result<(), RevocationError> {
        Ok(self.envelope.add_signatures(signers)?)
    }

    /// The file.
    ///
    /// # Errors
    /// [`RevocationError::Envelope`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevocationError> {
        Ok(self.envelope.to_json()?)
    }

    /// The SHA-256 of the root file that it names its publisher by.
    pub fn root(&self) -> &Digest {
        &self.document.root
    }

    /// Counted up by one with each list.
    pub fn version(&self) -> u64 {
        self.document.version
    }

    /// When it was issued.
    pub fn issued(&self) -> Timestamp {
        self.document.issued
    }

    /// From then on a newer one is due.
    pub fn expires(&self) -> Timestamp {
        self.document.expires
    }

    /// What is revoked, sorted by subject.
    pub fn entries(&self) -> &[Entry] {
        &self.document.entries
    }

    /// The entry for `digest`, if it is revoked.
    pub fn of_digest(&self, digest: &Digest) -> Option<&Entry> {
        let subject = Subject::Digest(digest.clone());
        let at = self.entries().binary_search_by(|entry| entry.subject.cmp(&subject)).ok()?;
        self.entries().get(at)
    }

    /// The keys that are revoked.
    pub fn keys(&self) -> BTreeSet<KeyId> {
        let key = |entry: &Entry| match &entry.subject {
            Subject::Key(keyid) => Some(keyid.clone()),
            Subject::Digest(_) => None,
        };
        self.entries().iter().filter_map(key).collect()
    }

    /// Whether the revoker of `root`, or its root role itself, signed this list.
    ///
    /// # Errors
    /// [`RevocationError::NoRevoker`], [`RevocationError::Envelope`].
    pub fn verify(self, root: &Root) -> Result<VerifiedList, RevocationError> {
        let signed_by = |keys: &KeySet| self.envelope.verify(PAYLOAD_TYPE, keys).map(|_| ());
        let by_root = signed_by(&root.root_keys()?).is_ok();
        let by_publisher = signed_by(&root.publisher_keys()?).is_ok();
        match root.revoker_keys()? {
            _ if by_root => {}
            Some(revoker) => signed_by(&revoker)?,
            None => return Err(RevocationError::NoRevoker { version: root.version }),
        }
        Ok(VerifiedList { list: self, by_root, by_publisher })
    }
}

impl VerifiedList {
    /// What it says.
    pub fn list(&self) -> &RevocationList {
        &self.list
    }

    /// Whether the root's own keys signed, or the publisher's threshold beside the revoker: then it holds at once, also for
    /// what a live cluster uses. One stolen revoker key is no kill switch.
    pub fn is_beyond_doubt(&self) -> bool {
        self.by_root || self.by_publisher
    }

    /// Whether a site that has `before` may take this one, at the time `now`.
    ///
    /// # Errors
    /// [`RevocationError::Older`], [`RevocationError::Dropped`], [`RevocationError::Equivocation`],
    /// [`RevocationError::Expired`], [`RevocationError::IssuedAhead`].
    pub fn check_follows(&self, before: Option<&RevocationList>, now: Timestamp) -> Result<(), RevocationError> {
        let (version, issued, expires) = (self.list.version(), self.list.issued(), self.list.expires());
        if issued > now.saturating_add(MAX_SKEW).unwrap_or(Timestamp::MAX) {
            return Err(RevocationError::IssuedAhead { issued, now });
        }
        if let Some(before) = before {
            let accepted = before.version();
            if version < accepted {
                return Err(RevocationError::Older { version, accepted });
            }
            if version == accepted {
                let same = before.document == self.list.document;
                return if same { Ok(()) } else { Err(RevocationError::Equivocation { version }) };
            }
            let kept: BTreeSet<_> = self.list.entries().iter().map(|entry| &entry.subject).collect();
            let dropped = before.entries().iter().find(|entry| !kept.contains(&entry.subject));
            if let Some(entry) = dropped.filter(|_| !self.by_root) {
                return Err(RevocationError::Dropped { subject: entry.subject.to_string() });
            }
        }
        if now >= expires { Err(RevocationError::Expired { expires, now }) } else { Ok(()) }
    }
}

impl Document {
    /// What the types alone do not say.
    fn check(&self) -> Result<(), RevocationError> {
        if self.entries.len() > MAX_ENTRIES {
            return Err(RevocationError::TooMany);
        }
        let is_sorted = self.entries.windows(2).all(|pair| pair[0].subject < pair[1].subject);
        match () {
            () if self.version == 0 => Err(RevocationError::Form("versions begin with 1")),
            () if self.expires <= self.issued => Err(RevocationError::Form("it expires before it is issued")),
            () if !is_sorted => Err(RevocationError::Form("its entries are not sorted, or one stands in it twice")),
            () => Ok(()),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Key(keyid) => write!(f, "key {keyid}"),
        }
    }
}
