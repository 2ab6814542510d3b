//! Signing requests: what goes out to people who hold keys on machines of their own, and what comes back
//! (docs/formats/signing-request.md).
//!
//! A request carries the very content that is to be signed and nothing that was signed before, so that two exports of
//! one thing are one request, and a signature file says by the request's digest what it belongs to.

mod draft;
mod error;
mod signatures;
mod vendor;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use draft::{DRAFT_FORMAT, RootDraft, root_tally};
pub use error::RequestError;
pub use signatures::{Merged, SIGNATURE_FORMAT, SignatureFile, Signatures, Tally};

use crate::digest::Digest;
use crate::format::{self, Format};
use crate::json::{self, Limits, Value, jcs};
use crate::key::KeyId;
use crate::names::RoleName;
use crate::role::KeySet;
use crate::signer::Signer;
use crate::tuf::{
    DelegatedRole, Delegations, MANIFEST, Metadata, MetadataSet, Root, Signed, Snapshot, TargetFile, Targets, Terms,
    TimestampMeta, TrustError, make, open_root, role_file, vendor_files::vendor_versions,
};

/// The value of `format`.
pub const FORMAT: &str = format::SIGNING_REQUEST.current;

/// What a request may hold at most: a manifest, a root, and three small files.
pub const LIMITS: Limits = Limits { bytes: 40 << 20, depth: 36, entries: 350_000 };

pub(crate) const ROOT: &str = "root.json";
const TARGETS: &str = "targets.json";
const SNAPSHOT: &str = "snapshot.json";
const TIMESTAMP: &str = "timestamp.json";

/// A request for signatures, whole and free of contradictions.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    wire: Wire,
    digest: Digest,
    subject: Subject,
    /// What is to be signed, by file: the OLPC canonical form of `signed`.
    contents: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A trust root.
    Root {
        /// The root that it replaces, verified; none for the first.
        previous: Option<Root>,
        /// The root itself.
        root: Root,
    },
    /// A bundle: targets, snapshot and timestamp together.
    Bundle {
        /// The root under which it is signed, verified under its own keys.
        root: Root,
        /// The content of `manifest.json`; the three files vouch for exactly this.
        manifest: Vec<u8>,
        /// What the three files say beside it.
        terms: Terms,
        /// The vendors that it delegates to.
        delegations: Option<Delegations>,
        /// The version that the snapshot promises of each vendor's file.
        vendor_versions: BTreeMap<RoleName, u64>,
        /// The revocation list that travels along.
        revocations: Option<Digest>,
    },
    /// What a vendor is asked to vouch for, in whichever bundle.
    Vendor {
        /// The delegation.
        delegation: DelegatedRole,
        /// Its keys.
        keys: KeySet,
        /// The artifacts by name, all of them covered by the delegation; with version and expiry of the vendor's file.
        targets: Targets,
    },
}

/// A role whose threshold of signatures is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The role, as people call it: `root keys of root 2`.
    pub role: String,
    /// Its keys and threshold.
    pub keys: KeySet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Root,
    Bundle,
    Vendor,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    kind: Kind,
    /// The manifest itself: canonical as it is, its own bytes can be taken out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Value>,
    /// The root in force, with its signatures: under which a bundle is signed, or which a new root replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Value>,
    /// The delegation to the vendor that is asked, with its keys.
    ///
    /// Called as it is so that `format` stays the first field, by which files are told apart.
    #[serde(rename = "vendor", default, skip_serializing_if = "Option::is_none")]
    delegation: Option<Value>,
    /// What is to be signed, by file.
    signed: BTreeMap<String, Value>,
}

impl SigningRequest {
    /// The request for a bundle's signatures: `set` holds the three files, signed or not, under its newest root.
    ///
    /// # Errors
    /// [`RequestError`] where the files are not about `manifest`.
    pub fn for_bundle(set: &MetadataSet, manifest: &[u8]) -> Result<Self, RequestError> {
        let newest = set.roots.last_key_value().ok_or(RequestError::NoRoot)?.1;
        let signed = BTreeMap::from([
            content::<Targets>(TARGETS, &set.targets)?,
            content::<Snapshot>(SNAPSHOT, &set.snapshot)?,
            content::<TimestampMeta>(TIMESTAMP, &set.timestamp)?,
        ]);
        let (manifest, root) = (Some(json::parse(manifest, &LIMITS)?), Some(json::parse(newest, &LIMITS)?));
        Self::new(Wire { format: FORMAT.to_owned(), kind: Kind::Bundle, manifest, root, delegation: None, signed })
    }

    /// The request for the signatures of the vendor `role`, whose file `set` holds, signed or not.
    ///
    /// # Errors
    /// [`RequestError`] where `set` neither delegates to `role` nor holds its file.
    pub fn for_vendor(set: &MetadataSet, role: &RoleName) -> Result<Self, RequestError> {
        let file = role_file(role);
        let missing = || TrustError::MissingFile(file.clone());
        let delegation = set.delegations()?.and_then(|delegations| delegations.only(role)).ok_or_else(missing)?;
        let bytes = set.delegated.get(role).ok_or_else(missing)?;
        let signed = BTreeMap::from([content::<Targets>(&file, bytes)?]);
        let delegation = Some(serde_json::to_value(&delegation).map_err(json::Error::Schema)?);
        let (format, kind) = (FORMAT.to_owned(), Kind::Vendor);
        Self::new(Wire { format, kind, manifest: None, root: None, delegation, signed })
    }

    /// The request for a root's signatures.
    pub(crate) fn for_root(previous: Option<&[u8]>, root: &Signed<Root>) -> Result<Self, RequestError> {
        let previous = previous.map(|bytes| json::parse(bytes, &LIMITS)).transpose()?;
        let signed = BTreeMap::from([(ROOT.to_owned(), root.content().clone())]);
        let (format, kind) = (FORMAT.to_owned(), Kind::Root);
        Self::new(Wire { format, kind, manifest: None, root: previous, delegation: None, signed })
    }

    /// Reads a request. What is to be signed agrees with all that is shown of it when this returns.
    ///
    /// # Errors
    /// [`RequestError`], each with its reason code.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        Self::new(read(bytes, &LIMITS, format::SIGNING_REQUEST, |wire: &Wire| &wire.format)?)
    }

    /// The request's file: canonical JSON.
    ///
    /// # Errors
    /// [`RequestError::Json`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        Ok(jcs::to_vec(&self.wire)?)
    }

    /// The digest of the request's file: what a signature file names.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What is to be signed.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The roles whose thresholds are asked for.
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The digest of the file of the root in force; none for a first root.
    ///
    /// # Errors
    /// [`RequestError::Json`].
    pub fn root_fingerprint(&self) -> Result<Option<Digest>, RequestError> {
        let bytes = self.wire.root.as_ref().map(jcs::to_vec).transpose()?;
        Ok(bytes.map(|bytes| Digest::sha256(&bytes)))
    }

    /// Signs everything that the request asks for.
    ///
    /// # Errors
    /// [`RequestError::NoSay`] for a key in none of the roles, [`RequestError::Sign`].
    pub fn sign(&self, signer: &dyn Signer) -> Result<SignatureFile, RequestError> {
        let keyid = signer.public_key().id();
        self.check_say(keyid)?;
        let sign = |(file, content): (&String, &Vec<u8>)| Ok((file.clone(), signer.sign(content)?));
        let signatures = self.contents.iter().map(sign).collect::<Result<_, RequestError>>()?;
        let file = SignatureFile::new(self.digest.clone(), keyid.clone(), signatures);
        // A module or a memory that errs is found out here, not by the person who merges.
        self.check(&file)?;
        Ok(file)
    }

    fn check_say(&self, keyid: &KeyId) -> Result<(), RequestError> {
        if self.asked.iter().any(|asked| asked.keys.keys().contains_key(keyid)) {
            return Ok(());
        }
        let roles = self.asked.iter().map(|asked| asked.role.clone()).collect::<Vec<_>>().join(", ");
        Err(RequestError::NoSay { keyid: keyid.clone(), roles })
    }

    fn new(wire: Wire) -> Result<Self, RequestError> {
        let digest = Digest::sha256(&jcs::to_vec(&wire)?);
        let root = wire.root.as_ref().map(jcs::to_vec).transpose()?;
        let root = root.map(|bytes| open_root(&bytes)).transpose()?;
        let (subject, contents) = match wire.kind {
            Kind::Root => root_subject(&wire, root)?,
            Kind::Bundle => bundle_subject(&wire, root.ok_or(RequestError::NoRoot)?)?,
            Kind::Vendor => vendor::subject(&wire)?,
        };
        let asked = asked(&subject)?;
        Ok(Self { wire, digest, subject, contents, asked })
    }
}

type Parsed = (Subject, BTreeMap<String, Vec<u8>>);

fn root_subject(wire: &Wire, previous: Option<Root>) -> Result<Parsed, RequestError> {
    if wire.manifest.is_some() || wire.delegation.is_some() {
        return Err(RequestError::Fields);
    }
    let [root] = files(wire, [ROOT])?;
    let root: Signed<Root> = unsigned(ROOT, root)?;
    check_new_root(previous.as_ref(), &root.signed)?;
    // Nobody signs what is not shown: a field that is unknown here would be.
    if Signed::unsigned(root.signed.clone())?.canonical() != root.canonical() {
        return Err(RequestError::Fields);
    }
    let contents = BTreeMap::from([(ROOT.to_owned(), root.canonical().to_vec())]);
    Ok((Subject::Root { previous, root: root.signed }, contents))
}

/// That every role of `root` can be filled, and that it follows `previous` by one.
pub(crate) fn check_new_root(previous: Option<&Root>, root: &Root) -> Result<(), RequestError> {
    root.check().map_err(|source| TrustError::RootUnsound { version: root.version, source })?;
    let expected = previous.map_or(1, |previous| previous.version + 1);
    if root.version == expected {
        return Ok(());
    }
    Err(TrustError::RootGap { expected, found: root.version }.into())
}

fn bundle_subject(wire: &Wire, root: Root) -> Result<Parsed, RequestError> {
    if wire.delegation.is_some() {
        return Err(RequestError::Fields);
    }
    let manifest = jcs::to_vec(wire.manifest.as_ref().ok_or(RequestError::Fields)?)?;
    let [targets, snapshot, timestamp] = files(wire, [TARGETS, SNAPSHOT, TIMESTAMP])?;
    let targets: Signed<Targets> = unsigned(TARGETS, targets)?;
    let snapshot: Signed<Snapshot> = unsigned(SNAPSHOT, snapshot)?;
    let timestamp: Signed<TimestampMeta> = unsigned(TIMESTAMP, timestamp)?;
    let terms = terms(&targets.signed)?;
    let delegations = targets.signed.delegations.clone();
    let vendor_versions = vendor_versions(&snapshot.signed, delegations.as_ref());
    let beside = make::Beside::in_targets(&targets.signed)?;
    let revocations = beside.revocations.map(digest_of).transpose()?;
    let expected = make::contents(&manifest, &terms, (beside, &vendor_versions))?;
    let found = [(TARGETS, targets.canonical()), (SNAPSHOT, snapshot.canonical()), (TIMESTAMP, timestamp.canonical())];
    for ((file, found), expected) in found.into_iter().zip(&expected) {
        if found != expected.as_slice() {
            return Err(RequestError::OtherContent(file));
        }
    }
    let contents = found.into_iter().map(|(file, content)| (file.to_owned(), content.to_vec())).collect();
    Ok((Subject::Bundle { root, manifest, terms, delegations, vendor_versions, revocations }, contents))
}

/// The digest that targets promise of a file.
fn digest_of(file: &TargetFile) -> Result<Digest, RequestError> {
    let digest = file.hashes.get("sha256").and_then(|hex| format!("sha256:{hex}").parse().ok());
    digest.ok_or(RequestError::OtherContent(TARGETS))
}

/// What the targets say of the manifest beside its digest.
fn terms(targets: &Targets) -> Result<Terms, RequestError> {
    let custom = targets.targets.get(MANIFEST).and_then(|file| file.custom.as_ref());
    let issued = custom.and_then(|custom| custom.get("issued")?.as_str()?.parse().ok());
    let issued = issued.ok_or(RequestError::OtherContent(TARGETS))?;
    Ok(Terms { sequence: targets.version, issued, expires: targets.expires })
}

/// The contents of exactly these files.
fn files<'a, const N: usize>(wire: &'a Wire, names: [&str; N]) -> Result<[&'a Value; N], RequestError> {
    let found = names.map(|name| wire.signed.get(name));
    if wire.signed.len() != N || found.iter().any(Option::is_none) {
        return Err(RequestError::Fields);
    }
    Ok(found.map(|value| value.unwrap_or(&Value::Null)))
}

impl Asked {
    fn root_keys_of(root: &Root) -> Result<Self, RequestError> {
        Ok(Self { role: format!("root keys of root {}", root.version), keys: root.root_keys()? })
    }
}

fn asked(subject: &Subject) -> Result<Vec<Asked>, RequestError> {
    match subject {
        Subject::Root { previous, root } => previous.iter().chain([root]).map(Asked::root_keys_of).collect(),
        Subject::Bundle { root, .. } => {
            let role = format!("publisher's keys of root {}", root.version);
            Ok(vec![Asked { role, keys: root.publisher_keys()? }])
        }
        Subject::Vendor { delegation, keys, .. } => {
            Ok(vec![Asked { role: format!("keys of the vendor {}", delegation.name), keys: keys.clone() }])
        }
    }
}

/// The signed content of a metadata file, without its signatures.
fn content<T: Metadata>(file: &str, bytes: &[u8]) -> Result<(String, Value), RequestError> {
    Ok((file.to_owned(), Signed::<T>::parse_canonical(file, bytes)?.content().clone()))
}

/// `content` as a metadata file that nobody has signed.
fn unsigned<T: Metadata>(file: &str, content: &Value) -> Result<Signed<T>, RequestError> {
    let bytes = jcs::to_vec(&serde_json::json!({"signatures": [], "signed": content}))?;
    Ok(Signed::parse_canonical(file, &bytes)?)
}

/// Reads a file that goes between keyholders.
pub(crate) fn read<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limits: &Limits,
    format: &'static Format,
    said: impl FnOnce(&T) -> &str,
) -> Result<T, RequestError> {
    format::read(bytes, limits, format, said).map_err(|error| error.either(RequestError::Json, RequestError::Format))
}
