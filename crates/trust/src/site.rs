//! The site root: what the inside calls itself, and who speaks for it.
//!
//! A DSSE envelope signed by its own root keys, delivered by hand once and known by the SHA-256 of its file.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::dsse::{DsseError, Envelope};
use crate::format::{self, UnknownFormat};
use crate::json::{self, Limits, jcs};
use crate::key::{KeyId, PublicKey};
use crate::names::SiteId;
use crate::reason::Code;
use crate::role::{KeySet, Role, RoleError};
use crate::signer::{SignError, Signer};
use crate::utc;

/// What the envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.site-root.v1+json";
/// The format that is written, and its major version read.
pub const FORMAT: &str = format::SITE_ROOT.current;

/// For how many days after its soft expiry a bundle is imported with a warning only, where a site root says nothing else.
pub const STALE_GRACE_DAYS: u32 = 30;

/// The registry that serves the site's current release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The host name in its certificate, with `:port` unless it is 443.
    pub name: String,
    /// The IP address and port at which the name is found: there need be no DNS.
    pub address: String,
    /// The certificates that its own must chain to, PEM.
    pub ca: String,
}

/// The site's roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRoles {
    /// May replace the site root.
    pub root: Role,
    /// Signs receipts and releases.
    pub site: Role,
    /// Admits bundles, where the site wants a second person for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<Role>,
}

/// The signed content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    id: SiteId,
    version: u64,
    #[serde(with = "utc")]
    issued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classification: Option<String>,
    keys: BTreeMap<KeyId, PublicKey>,
    roles: SiteRoles,
    registry: Registry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stale_grace_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retained_releases: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, Value>,
}

/// What a site root is to say.
#[derive(Clone, Debug)]
pub struct SiteRootSpec {
    /// The site's id.
    pub id: SiteId,
    /// When it is issued.
    pub issued: Timestamp,
    /// The highest classification that may come in, in the site's own words.
    pub classification: Option<String>,
    /// Who may replace the site root.
    pub root: KeySet,
    /// Who signs receipts and releases.
    pub site: KeySet,
    /// Who admits bundles.
    pub approver: Option<KeySet>,
    /// The registry.
    pub registry: Registry,
    /// For how many days after its soft expiry a bundle is imported with a warning only; [`STALE_GRACE_DAYS`] if left out.
    pub stale_grace_days: Option<u32>,
    /// How many releases are retained beside the current one; all if left out.
    pub retained_releases: Option<u64>,
}

/// Why a site root is not believed, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteRootError {
    /// Not a DSSE envelope with sufficient signatures.
    #[error("the site root's envelope is not believed")]
    Envelope(#[from] DsseError),
    /// The content is not canonical JSON with the fields of a site root.
    #[error("the site root's content is malformed")]
    Json(#[from] json::Error),
    /// A format of another major version.
    #[error("the site root is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// A role that can't be filled.
    #[error("a role of the site root cannot be filled")]
    Role(#[from] RoleError),
    /// Not signed by the threshold of the site root before it.
    #[error("site root {version} is not signed by the threshold of the one before it")]
    Succession {
        /// The version of the new one.
        version: u64,
        /// What the signatures lack.
        source: DsseError,
    },
    /// Not the next version.
    #[error("site root {expected} is needed next, but {found} comes")]
    Gap {
        /// The version that has to come.
        expected: u64,
        /// The version that comes.
        found: u64,
    },
    /// The site root of another site.
    #[error("this is the root of the site {found}, not of {expected}")]
    OtherSite {
        /// The site's id.
        expected: SiteId,
        /// The id it has.
        found: SiteId,
    },
    /// A signer did not sign.
    #[error("signing the site root failed")]
    Sign(#[from] SignError),
    /// The key is not one of the site's.
    #[error("the key {0} is none of the keys that sign for the site")]
    NotASiteKey(KeyId),
}

impl SiteRootError {
    /// The reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Envelope(source) => Some(source.code()),
            Self::Json(source) => Some(source.code()),
            Self::Role(source) => Some(source.code()),
            Self::Format(_) => Some(Code::Format),
            Self::Succession { .. } => Some(Code::RootSig),
            Self::Gap { .. } => Some(Code::RootGap),
            Self::OtherSite { .. } => Some(Code::Subject),
            Self::NotASiteKey(_) => Some(Code::Scope),
            Self::Sign(_) => None,
        }
    }

    /// Whether it is a refusal rather than a failure.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}

/// A site root that is signed by its own threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRoot {
    document: Document,
    roles: RoleSets,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RoleSets {
    root: KeySet,
    site: KeySet,
    approver: Option<KeySet>,
}

impl SiteRoot {
    /// Makes version 1, signed by `signers`, who must meet the root role's threshold.
    ///
    /// # Errors
    /// [`SiteRootError`].
    pub fn create(spec: &SiteRootSpec, signers: &[&dyn Signer]) -> Result<Self, SiteRootError> {
        let bytes = sign(&document(spec, 1), signers)?;
        Self::open(&bytes)
    }

    /// Makes the next version, signed by `signers`, who must meet both thresholds.
    ///
    /// # Errors
    /// [`SiteRootError`].
    pub fn rotate(&self, spec: &SiteRootSpec, signers: &[&dyn Signer]) -> Result<Self, SiteRootError> {
        let bytes = sign(&document(spec, self.version() + 1), signers)?;
        self.accept_next(&bytes)
    }

    /// Reads the file of a site root; it must be signed by its own threshold. Whether it is the right one is told by
    /// its [`fingerprint`](Self::fingerprint).
    ///
    /// # Errors
    /// [`SiteRootError`].
    pub fn open(bytes: &[u8]) -> Result<Self, SiteRootError> {
        let envelope = Envelope::from_json(bytes)?;
        let payload = envelope.unverified(PAYLOAD_TYPE)?;
        let document = format::read(payload, &Limits::DOCUMENT, format::SITE_ROOT, |one: &Document| &one.format);
        let document = document.map_err(|error| error.either(SiteRootError::Json, SiteRootError::Format))?;
        let set = |role| KeySet::from_role(&document.keys, role);
        let roles = RoleSets {
            root: set(&document.roles.root)?,
            site: set(&document.roles.site)?,
            approver: document.roles.approver.as_ref().map(set).transpose()?,
        };
        envelope.verify(PAYLOAD_TYPE, &roles.root)?;
        Ok(Self { document, roles, bytes: bytes.to_vec() })
    }

    /// Reads the site root that follows this one: version plus one, the same site, signed under both thresholds.
    ///
    /// # Errors
    /// [`SiteRootError`].
    pub fn accept_next(&self, bytes: &[u8]) -> Result<Self, SiteRootError> {
        let next = Self::open(bytes)?;
        let (expected, found) = (self.version() + 1, next.version());
        if found != expected {
            return Err(SiteRootError::Gap { expected, found });
        }
        if next.id() != self.id() {
            return Err(SiteRootError::OtherSite { expected: self.id().clone(), found: next.id().clone() });
        }
        let succession = |source| SiteRootError::Succession { version: found, source };
        Envelope::from_json(bytes)?.verify(PAYLOAD_TYPE, &self.roles.root).map_err(succession)?;
        Ok(next)
    }

    /// The site's id.
    pub fn id(&self) -> &SiteId {
        &self.document.id
    }

    /// Counted up by one at each rotation.
    pub fn version(&self) -> u64 {
        self.document.version
    }

    /// When this version was issued.
    pub fn issued(&self) -> Timestamp {
        self.document.issued
    }

    /// The highest classification that may come in, in the site's own words.
    pub fn classification(&self) -> Option<&str> {
        self.document.classification.as_deref()
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.document.registry
    }

    /// For how long after its soft expiry a bundle is imported with a warning only.
    pub fn stale_grace(&self) -> SignedDuration {
        let days = self.document.stale_grace_days.unwrap_or(STALE_GRACE_DAYS);
        SignedDuration::from_hours(i64::from(days) * 24)
    }

    /// How many releases are retained beside the current one; all where it says nothing.
    pub fn retained_releases(&self) -> Option<u64> {
        self.document.retained_releases
    }

    /// Who may replace the site root.
    pub fn root_keys(&self) -> &KeySet {
        &self.roles.root
    }

    /// Who signs receipts and releases.
    pub fn site_keys(&self) -> &KeySet {
        &self.roles.site
    }

    /// Who admits bundles, where the site wants that.
    pub fn approver_keys(&self) -> Option<&KeySet> {
        self.roles.approver.as_ref()
    }

    /// The file, byte for byte.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the file: what is compared by voice or on paper.
    pub fn fingerprint(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }
}

fn document(spec: &SiteRootSpec, version: u64) -> Document {
    let sets = [Some(&spec.root), Some(&spec.site), spec.approver.as_ref()];
    Document {
        format: FORMAT.to_owned(),
        id: spec.id.clone(),
        version,
        issued: spec.issued,
        classification: spec.classification.clone(),
        keys: sets.into_iter().flatten().flat_map(|set| set.keys().clone()).collect(),
        roles: SiteRoles {
            root: spec.root.role(),
            site: spec.site.role(),
            approver: spec.approver.as_ref().map(KeySet::role),
        },
        registry: spec.registry.clone(),
        stale_grace_days: spec.stale_grace_days,
        retained_releases: spec.retained_releases,
        annotations: BTreeMap::new(),
    }
}

fn sign(document: &Document, signers: &[&dyn Signer]) -> Result<Vec<u8>, SiteRootError> {
    let payload = jcs::to_vec(document)?;
    Ok(Envelope::sign(PAYLOAD_TYPE, &payload, signers)?.to_json()?)
}

/// The station's own key together with the site root that gives it its say.
pub struct SiteKeys {
    root: SiteRoot,
    signer: Box<dyn Signer>,
}

impl SiteKeys {
    /// Binds a signer to the site root.
    ///
    /// # Errors
    /// [`SiteRootError::NotASiteKey`].
    pub fn new(root: SiteRoot, signer: Box<dyn Signer>) -> Result<Self, SiteRootError> {
        let keyid = signer.public_key().id();
        if !root.site_keys().keys().contains_key(keyid) {
            return Err(SiteRootError::NotASiteKey(keyid.clone()));
        }
        Ok(Self { root, signer })
    }

    /// The site's id.
    pub fn id(&self) -> &SiteId {
        self.root.id()
    }

    /// The site root.
    pub fn root(&self) -> &SiteRoot {
        &self.root
    }

    /// Who signs for the site: what verifies its receipts and releases.
    pub fn key_set(&self) -> &KeySet {
        self.root.site_keys()
    }

    /// The station's own key.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }
}

impl fmt::Debug for SiteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteKeys").field("id", self.id()).field("key", self.signer.public_key()).finish_non_exhaustive()
    }
}
