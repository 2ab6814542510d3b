//! The four top-level roles' metadata (TUF specification 1.0.34, sections 4.2 to 4.6).
//!
//! Fields that are unknown are allowed inside `signed`, as the specification asks; outside of it nothing signs them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Delegations, TrustError};
use crate::json::{self, Limits, jcs, olpc};
use crate::key::{KeyId, PublicKey};
use crate::role::{Claim, KeySet, Role, RoleError, Signers};
use crate::utc;

/// What every role's metadata has.
pub trait Metadata: Serialize + DeserializeOwned {
    /// The `_type` it must have.
    const TYPE: &'static str;
    /// Its version, 1 or more.
    fn version(&self) -> u64;
    /// From when on it is not believed any more.
    fn expires(&self) -> Timestamp;
}

macro_rules! metadata {
    ($type:ident, $name:literal) => {
        impl Metadata for $type {
            const TYPE: &'static str = $name;

            fn version(&self) -> u64 {
                self.version
            }

            fn expires(&self) -> Timestamp {
                self.expires
            }
        }
    };
}

/// Which keys speak for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `root`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The specification's version.
    pub spec_version: String,
    /// Counted up by one at each rotation.
    pub version: u64,
    /// Hard expiry.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// Whether file names carry versions; never in a bundle.
    pub consistent_snapshot: bool,
    /// Every key of every role, by id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// The four roles.
    pub roles: Roles,
    /// What TUF has no place for.
    #[serde(rename = "x-sealock", default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<RootExtension>,
}

metadata!(Root, "root");

/// The four top-level roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// May replace the root.
    pub root: Role,
    /// The publisher, who signs manifests.
    pub targets: Role,
    /// The publisher again.
    pub snapshot: Role,
    /// The publisher again.
    pub timestamp: Role,
}

/// What a root says that TUF has no place for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootExtension {
    /// Who may revoke digests and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoker: Option<Role>,
}

impl Root {
    /// The keys of the role that may replace this root.
    ///
    /// # Errors
    /// [`RoleError`] for a role that can't be filled.
    pub fn root_keys(&self) -> Result<KeySet, RoleError> {
        KeySet::from_role(&self.keys, &self.roles.root)
    }

    /// The publisher's keys, who sign manifests.
    ///
    /// # Errors
    /// [`RoleError`] for a role that can't be filled.
    pub fn publisher_keys(&self) -> Result<KeySet, RoleError> {
        KeySet::from_role(&self.keys, &self.roles.targets)
    }

    /// The revoker's keys, where there is one.
    ///
    /// # Errors
    /// [`RoleError`] for a role that can't be filled.
    pub fn revoker_keys(&self) -> Result<Option<KeySet>, RoleError> {
        let role = self.extension.as_ref().and_then(|extension| extension.revoker.as_ref());
        role.map(|role| KeySet::from_role(&self.keys, role)).transpose()
    }

    /// That every role can be filled.
    pub(crate) fn check(&self) -> Result<(), RoleError> {
        let Roles { root, targets, snapshot, timestamp } = &self.roles;
        for role in [root, targets, snapshot, timestamp] {
            KeySet::from_role(&self.keys, role)?;
        }
        self.revoker_keys().map(|_| ())
    }
}

/// What one metadata file says of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// The version it must have.
    pub version: u64,
    /// Its length in bytes. Not written by us: a later co-signature changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its digests, hexadecimal by algorithm. Not written by us, as `length`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
}

/// Which snapshot is the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimestampMeta {
    /// `timestamp`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The specification's version.
    pub spec_version: String,
    /// The stream's sequence.
    pub version: u64,
    /// Hard expiry.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// `snapshot.json`.
    pub meta: BTreeMap<String, FileMeta>,
}

metadata!(TimestampMeta, "timestamp");

/// Which targets metadata belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `snapshot`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The specification's version.
    pub spec_version: String,
    /// The stream's sequence.
    pub version: u64,
    /// Hard expiry.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// `targets.json`.
    pub meta: BTreeMap<String, FileMeta>,
}

metadata!(Snapshot, "snapshot");

/// What the publisher vouches for: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// The specification's version.
    pub spec_version: String,
    /// The stream's sequence.
    pub version: u64,
    /// Hard expiry.
    #[serde(with = "utc")]
    pub expires: Timestamp,
    /// Files by path.
    pub targets: BTreeMap<String, TargetFile>,
    /// Who else may vouch for names, and for which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

metadata!(Targets, "targets");

/// One file that is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length: u64,
    /// Its digests, hexadecimal by algorithm.
    pub hashes: BTreeMap<String, String>,
    /// `issued`: when the manifest was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

/// One signature over the canonical form of `signed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Who signed.
    pub keyid: KeyId,
    /// The signature, lower-case hexadecimal.
    #[serde(with = "lower_hex")]
    pub sig: Vec<u8>,
}

/// Which spellings of a metadata file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The canonical one, as bundles carry it: no byte that no signature speaks for.
    Canonical,
    /// Any, as the specification has it: other implementations indent, and sign with keys that have no say.
    AnyJson,
}

/// Metadata of one role with its signatures, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// The signatures.
    pub signatures: Vec<Signature>,
    /// The signed content, typed.
    pub signed: T,
    /// The signed content as it was read, with fields that are unknown here.
    content: Value,
    /// The signed content in OLPC canonical form: what the signatures are over.
    canonical: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    signatures: Vec<Signature>,
    signed: Value,
}

impl<T: Metadata> Signed<T> {
    /// Reads the metadata file called `file`. Nothing is verified yet.
    ///
    /// # Errors
    /// [`TrustError::Json`] and [`TrustError::Kind`].
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, TrustError> {
        let malformed = |source| TrustError::Json { file: file.to_owned(), source };
        let value = json::parse(bytes, &Limits::DOCUMENT).map_err(malformed)?;
        let wire: Wire = serde_json::from_value(value).map_err(|error| malformed(json::Error::Schema(error)))?;
        check_kind::<T>(file, &wire.signed)?;
        let canonical = olpc::to_vec(&wire.signed).map_err(malformed)?;
        let signed: T =
            serde_json::from_value(wire.signed.clone()).map_err(|error| malformed(json::Error::Schema(error)))?;
        if signed.version() == 0 {
            return Err(TrustError::Kind {
                file: file.to_owned(),
                expected: "version 1 or more",
                found: "0".to_owned(),
            });
        }
        Ok(Self { signatures: wire.signatures, signed, content: wire.signed, canonical })
    }

    /// Reads a file in one of the spellings that `form` allows.
    ///
    /// # Errors
    /// [`TrustError::Json`] and [`TrustError::Kind`].
    pub(super) fn parse_in(form: Form, file: &str, bytes: &[u8]) -> Result<Self, TrustError> {
        match form {
            Form::Canonical => Self::parse_canonical(file, bytes),
            Form::AnyJson => Self::parse(file, bytes),
        }
    }

    /// As [`Self::parse`], and the whole file must be canonical: no byte that no signature speaks for.
    ///
    /// # Errors
    /// [`TrustError::Json`] and [`TrustError::Kind`].
    pub(crate) fn parse_canonical(file: &str, bytes: &[u8]) -> Result<Self, TrustError> {
        let this = Self::parse(file, bytes)?;
        let malformed = |source| TrustError::Json { file: file.to_owned(), source };
        if this.to_bytes().map_err(malformed)? != bytes {
            return Err(malformed(json::Error::NotCanonical));
        }
        Ok(this)
    }

    /// Metadata that nobody has signed yet.
    pub(crate) fn unsigned(signed: T) -> Result<Self, json::Error> {
        let content = serde_json::to_value(&signed).map_err(json::Error::Schema)?;
        let canonical = olpc::to_vec(&content)?;
        Ok(Self { signatures: Vec::new(), signed, content, canonical })
    }

    /// The OLPC canonical form of the signed content.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The signed content as it was read.
    pub(crate) fn content(&self) -> &Value {
        &self.content
    }

    /// The whole file, as RFC 8785 has it: OLPC's form is no JSON where a text holds a line feed, as PEM keys do.
    ///
    /// # Errors
    /// [`json::Error`] for metadata that was made with a number beyond 2^53−1.
    pub fn to_bytes(&self) -> Result<Vec<u8>, json::Error> {
        jcs::to_vec(&Wire { signatures: self.signatures.clone(), signed: self.content.clone() })
    }

    /// Whether the threshold of `keys` signed.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<Signers, RoleError> {
        let claims: Vec<_> = self
            .signatures
            .iter()
            .map(|Signature { keyid, sig }| Claim { keyid: keyid.as_str(), signature: sig })
            .collect();
        keys.verify(&self.canonical, &claims)
    }
}

fn check_kind<T: Metadata>(file: &str, signed: &Value) -> Result<(), TrustError> {
    let text = |name: &str| signed.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let unfit = |expected, found| Err(TrustError::Kind { file: file.to_owned(), expected, found });
    let (kind, spec) = (text("_type"), text("spec_version"));
    if kind != T::TYPE {
        return unfit(T::TYPE, kind);
    }
    if spec.split('.').next() != Some("1") {
        return unfit("TUF specification 1.x", spec);
    }
    Ok(())
}

pub(crate) mod lower_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(&text).map_err(D::Error::custom)?;
        // One signature has one spelling, so that no byte of the file can change unnoticed.
        if hex::encode(&bytes) != text {
            return Err(D::Error::custom("hexadecimal is written in lower case"));
        }
        Ok(bytes)
    }
}
