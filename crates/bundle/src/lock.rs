//! The lock: a bundle spec resolved to digests (docs/formats/lock.md). Canonical JSON, committed and reviewed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::json::{self, Limits, jcs};
use sealock_trust::reason::Code;
use sealock_trust::tuf::Delegations;
use serde::{Deserialize, Serialize};

use crate::names::{BundleName, Platform, Stream};
use crate::parameters::Parameters;
use crate::reference::ArtifactName;
use crate::spec::{Audience, Selection};
use crate::summary;
use crate::vendors::{self, VendorsError};

/// The value of `format`.
pub const FORMAT: &str = format::LOCK.current;

/// A bundle spec, resolved. With the signing keys it determines the bundle byte for byte, signatures aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// [`FORMAT`].
    pub format: String,
    /// `metadata.name` of the spec.
    pub name: BundleName,
    /// `metadata.stream` of the spec.
    pub stream: Stream,
    /// The number in the stream, from 1.
    pub sequence: u64,
    /// The digest of the manifest of the bundle before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When the lock was made; every time in the bundle is this one.
    pub issued: Timestamp,
    /// From then on the bundle's age is reported.
    pub soft_expiry: Timestamp,
    /// From then on the bundle is refused.
    pub expires: Timestamp,
    /// The sites that may import the bundle.
    pub audience: Audience,
    /// What images and binaries are carried for.
    pub platforms: Vec<Platform>,
    /// How many publisher keys there are; the header keeps room for that many signatures.
    pub publisher_keys: u32,
    /// To whom names are delegated, as `trust/delegations.json` had it: those vendors who have a say in one of the references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// The digest of the spec file.
    pub spec: Digest,
    /// What was selected, where the spec has components or variants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// The value of every parameter that the spec declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    /// What made the lock: `sealock 0.1.0`.
    pub tool: String,
    /// Everything that is carried under a name, sorted by name.
    pub references: Vec<LockedReference>,
    /// Every blob of the payload, in the order of the archive: fetched ones sorted by digest, then generated ones alike.
    pub blobs: Vec<LockedBlob>,
    /// Whatever else a person or a tool wants to note.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One artifact under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedReference {
    /// The name that it travels and is served under.
    pub name: ArtifactName,
    /// What it is.
    pub kind: ReferenceKind,
    /// The digest of its OCI manifest or image index.
    pub digest: Digest,
    /// The media type of that manifest or index.
    pub media_type: String,
    /// What it runs on, where it is for one platform only: components and files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The digest that it refers to, for [`ReferenceKind::Referrer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Where it came from, for a person: a URL, a reference, a path.
    pub source: String,
    /// What in the spec asked for it, like `kubernetes v1.36.3`, `chart podinfo 6.9.2: Deployment podinfo`, or
    /// `guess: …` and the place of an accepted guess. Sorted.
    pub requested_by: Vec<String>,
    /// What the check of its origin came to.
    pub verdict: Verdict,
}

/// What a reference stands for.
pub use sealock_store::release::ReferenceKind;

/// What the check of an artifact's origin came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verdict {
    /// By which rule it was judged.
    pub rule: VerdictRule,
    /// The digest of the file with the public key that signed it, for [`VerdictRule::Key`]; of the trusted root, for
    /// [`VerdictRule::Keyless`]; of the keyring, for [`VerdictRule::Gpg`]; of the certificates,
    /// for [`VerdictRule::Notation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// Who signed it, as the certificate says, for [`VerdictRule::Keyless`]; the fingerprint of the primary key, for
    /// [`VerdictRule::Gpg`]; the identity of the rule, for [`VerdictRule::Notation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Who vouches for that identity, for [`VerdictRule::Keyless`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Why it may come unsigned, for [`VerdictRule::Unsigned`]; what vouches for it, for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Verdict {
    /// The verdict of a rule that says nothing more.
    pub fn new(rule: VerdictRule) -> Self {
        Self { rule, key: None, identity: None, issuer: None, reason: None }
    }

    /// The same verdict with a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

/// By which rule an artifact was judged. There is no verdict but acceptance: anything else stops the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictRule {
    /// It came unsigned, for the reason given.
    Unsigned,
    /// A signature by the key held.
    Key,
    /// A signature by the identity held, with its certificate and its log entry.
    Keyless,
    /// An OpenPGP signature by a key of the keyring held.
    Gpg,
    /// A signature by Notation (Notary Project), of the identity and under the authorities, held.
    Notation,
    /// It refers to another artifact and travels along with it; nobody has judged it.
    Referrer,
    /// Its SHA-256 equals the one that upstream publishes, or the spec pins.
    Checksum,
    /// It is a file of the packager's own, beside the spec, or the manifests of an add-on, which come with Sealock.
    Local,
}

/// One blob of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedBlob {
    /// Its name.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
    /// Its media type, as the manifest above it says.
    pub media_type: String,
    /// What it is for.
    pub role: BlobRole,
    /// Where it is fetched.
    pub source: BlobSource,
}

/// What a blob is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlobRole {
    /// An OCI image index.
    Index,
    /// An OCI image manifest.
    Manifest,
    /// The config of an image manifest.
    Config,
    /// A layer of an image manifest: file system, chart archive, file.
    Layer,
}

/// Where a blob is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum BlobSource {
    /// From an OCI registry: as a manifest if it is an index or manifest, else as a blob.
    Oci {
        /// Host, with a port where needed.
        registry: String,
        /// Repository in the registry.
        repository: String,
    },
    /// From the web.
    Http {
        /// Where; the digest is that of the body, or of the member `inner`.
        url: String,
        /// The path of a member, where the body is a `.tar.gz` and the blob one file in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<String>,
    },
    /// A file beside the spec.
    File {
        /// Relative to the spec, with `/`.
        path: String,
    },
    /// It stands here, because it was made by locking: manifests and configs of files, charts and manifest files.
    Generated {
        /// The content.
        base64: String,
    },
}

impl LockedBlob {
    /// Whether the lock itself holds the content.
    pub fn is_generated(&self) -> bool {
        matches!(self.source, BlobSource::Generated { .. })
    }

    /// The content, where the lock itself holds it, and it is what the digest promises.
    pub fn generated_content(&self) -> Option<Vec<u8>> {
        let BlobSource::Generated { base64 } = &self.source else { return None };
        let content = crate::artifact::content_of(base64)?;
        (Digest::of(self.digest.algorithm(), &content) == self.digest).then_some(content)
    }
}

/// Why a text is not a lock, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not canonical JSON with the fields of a lock.
    #[error("this is not a lock, or it was edited by hand")]
    Json(#[source] json::Error),
    /// Of a major version that this Sealock does not know.
    #[error("the lock is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Well-formed, but contradictory.
    #[error("the lock contradicts itself: {0}")]
    Inconsistent(String),
}

impl LockError {
    /// The reason code: `FORMAT`, or that of the JSON error.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(source) => source.code(),
            Self::Format(_) | Self::Inconsistent(_) => Code::Format,
        }
    }

    /// True: the same lock is refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

impl Lock {
    /// Reads a lock as [`Lock::to_bytes`] writes it.
    ///
    /// # Errors
    /// When it is not canonical, of another format, or contradictory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LockError> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lock = format::read(text, &Limits::MANIFEST, format::LOCK, |lock: &Self| &lock.format);
        let lock = lock.map_err(|error| error.either(LockError::Json, LockError::Format))?;
        lock.check()?;
        Ok(lock)
    }

    /// The lock as canonical JSON and a line feed, for git's sake; sorted first, so that equal content is equal text.
    ///
    /// # Errors
    /// When it is contradictory, or holds text that canonical JSON may not.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LockError> {
        let mut lock = self.clone();
        lock.sort();
        lock.check()?;
        let mut bytes = jcs::to_vec(&lock).map_err(LockError::Json)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The digest of [`Lock::to_bytes`], which the manifest names.
    ///
    /// # Errors
    /// As [`Lock::to_bytes`].
    pub fn digest(&self) -> Result<Digest, LockError> {
        self.to_bytes().map(|bytes| Digest::sha256(&bytes))
    }

    /// Brings references and blobs into the order of the format, and drops repeated blobs.
    pub fn sort(&mut self) {
        self.references.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
        for reference in &mut self.references {
            reference.requested_by.sort();
            reference.requested_by.dedup();
        }
        self.blobs.sort_by(|a, b| (a.is_generated(), &a.digest).cmp(&(b.is_generated(), &b.digest)));
        // The same blob under two sources is one blob; with two sizes it is a contradiction, and stays to be found.
        self.blobs.dedup_by(|a, b| a.digest == b.digest && a.size == b.size);
    }

    /// Bytes of all blobs together.
    pub fn content_size(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The same lock under `delegations`: those of them stay that have a say in one of its references.
    ///
    /// # Errors
    /// [`VendorsError`].
    pub fn delegating(self, delegations: Option<&Delegations>) -> Result<Self, VendorsError> {
        let concerned = delegations.map(|all| vendors::concerned(all, self.names())).transpose()?.flatten();
        Ok(Self { delegations: concerned, ..self })
    }

    /// The names of its references.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.references.iter().map(|reference| reference.name.as_str())
    }

    fn check(&self) -> Result<(), LockError> {
        format::LOCK.check(&self.format).map_err(LockError::Format)?;
        self.problem().map_or(Ok(()), |problem| Err(LockError::Inconsistent(problem)))
    }

    fn problem(&self) -> Option<String> {
        if self.sequence == 0 {
            return Some("sequences begin at 1".to_owned());
        }
        if !(self.issued <= self.soft_expiry && self.soft_expiry <= self.expires) {
            return Some("it expires before it is issued, or its hard expiry lies before its soft one".to_owned());
        }
        let times = [self.issued, self.soft_expiry, self.expires];
        if times.iter().any(|time| time.subsec_nanosecond() != 0) {
            // The trust metadata, which repeats them, cannot say more (TUF specification 1.0.34, 4.2.1).
            return Some("its times are not whole seconds".to_owned());
        }
        if self.audience.sites.is_empty() {
            return Some("it names no site".to_owned());
        }
        let mut digests = BTreeSet::new();
        if let Some(twice) = self.blobs.iter().find(|blob| !digests.insert(&blob.digest)) {
            return Some(format!("the blob {} stands in it twice", twice.digest));
        }
        if let Some(bare) = self.references.iter().find(|reference| !digests.contains(&reference.digest)) {
            return Some(format!("{} is {}, which is not among the blobs", bare.name, bare.digest));
        }
        let in_order = self.references.is_sorted_by_key(|reference| &reference.name)
            && self.blobs.is_sorted_by_key(|blob| (blob.is_generated(), &blob.digest));
        if !in_order {
            return Some("its references or blobs are not sorted".to_owned());
        }
        if let Some(delegations) = &self.delegations {
            match vendors::concerned(delegations, self.names()) {
                Ok(concerned) if concerned.as_ref() == Some(delegations) => {}
                Ok(_) => return Some("it delegates to vendors who have no say in its references".to_owned()),
                Err(error) => return Some(format!("its delegations do not serve: {error}")),
            }
        }
        let has_summary = self.references.iter().any(|reference| reference.kind == ReferenceKind::Attestation);
        if has_summary && !summary::with_summary(self).is_ok_and(|lock| lock == *self) {
            return Some("its verification summary is not what its verdicts make".to_owned());
        }
        let twins = self.references.windows(2).find(|pair| pair[0].name == pair[1].name);
        twins.map(|pair| format!("{} stands in it twice", pair[0].name))
    }
}
