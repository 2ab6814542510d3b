//! Signature files, and how they are put together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Asked, RequestError, SigningRequest, read};
use crate::digest::Digest;
use crate::format;
use crate::json::{Limits, jcs};
use crate::key::{KeyError, KeyId, PublicKey};
use crate::tuf::{Metadata, Signature, Signed};

/// The value of `format` of a signature file.
pub const SIGNATURE_FORMAT: &str = format::SIGNATURE.current;

/// The answer of one key to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    format: String,
    keyid: KeyId,
    request: Digest,
    /// By file.
    signatures: BTreeMap<String, Hex>,
}

impl SignatureFile {
    pub(super) fn new(request: Digest, keyid: KeyId, signatures: BTreeMap<String, Vec<u8>>) -> Self {
        let signatures = signatures.into_iter().map(|(file, raw)| (file, Hex(raw))).collect();
        Self { format: SIGNATURE_FORMAT.to_owned(), keyid, request, signatures }
    }

    /// Who signed.
    pub fn keyid(&self) -> &KeyId {
        &self.keyid
    }

    /// The digest of the request that it answers.
    pub fn request(&self) -> &Digest {
        &self.request
    }

    /// Reads a signature file. Nothing is verified yet: see [`SigningRequest::merge`].
    ///
    /// # Errors
    /// [`RequestError::Json`] and [`RequestError::Format`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        read(bytes, &Limits::DOCUMENT, format::SIGNATURE, |file: &Self| &file.format)
    }

    /// The file: canonical JSON.
    ///
    /// # Errors
    /// [`RequestError::Json`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        Ok(jcs::to_vec(self)?)
    }
}

/// A signature in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "crate::tuf::lower_hex")] Vec<u8>);

/// Signatures over the files of one request, by signer and file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures(BTreeMap<KeyId, BTreeMap<String, Vec<u8>>>);

impl Signatures {
    /// Takes up the signatures that `metadata` carries as `file`.
    pub(crate) fn take<T: Metadata>(&mut self, file: &str, metadata: &Signed<T>) {
        for Signature { keyid, sig } in &metadata.signatures {
            self.0.entry(keyid.clone()).or_default().insert(file.to_owned(), sig.clone());
        }
    }

    /// The keys that claim to have signed.
    pub fn signers(&self) -> impl Iterator<Item = &KeyId> {
        self.0.keys()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// Takes up those of `other`, of files that are not known here yet.
    pub(crate) fn extend(&mut self, other: Self) {
        for (keyid, files) in other.0 {
            self.0.entry(keyid).or_default().extend(files);
        }
    }

    /// Gives `metadata` the signatures that there are for `file`, sorted by signer.
    pub(crate) fn give<T: Metadata>(&self, file: &str, metadata: &mut Signed<T>) {
        let of_file = |(keyid, files): (&KeyId, &BTreeMap<String, Vec<u8>>)| {
            files.get(file).map(|sig| Signature { keyid: keyid.clone(), sig: sig.clone() })
        };
        metadata.signatures = self.0.iter().filter_map(of_file).collect();
    }
}

/// What merging came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Keys whose signature was added.
    pub added: Vec<KeyId>,
    /// Keys whose very signature was there already.
    pub known: Vec<KeyId>,
}

impl Merged {
    /// Both together.
    pub fn extend(&mut self, other: Self) {
        self.added.extend(other.added);
        self.known.extend(other.known);
    }
}

/// How far one role is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The role.
    pub role: String,
    /// How many distinct keys must sign.
    pub threshold: u32,
    /// Keys with a valid signature.
    pub signed: Vec<KeyId>,
    /// Keys that may still sign.
    pub missing: Vec<KeyId>,
    /// Whether the threshold is met.
    pub met: bool,
}

impl SigningRequest {
    /// Adds the signatures of `files` to `signatures`; each is verified first, and none is added if one is refused.
    ///
    /// The very same signature again is no refusal, so that a merge that was cut off can be repeated.
    ///
    /// # Errors
    /// [`RequestError`]: foreign (`SCOPE`), of another request (`SUBJECT`), invalid (`SIG`, `ALG`), doubled (`DUPLICATE`).
    pub fn merge(&self, signatures: &mut Signatures, files: &[SignatureFile]) -> Result<Merged, RequestError> {
        let mut merged = Merged::default();
        let mut next = signatures.clone();
        for file in files {
            self.check(file)?;
            let raw: BTreeMap<_, _> = file.signatures.iter().map(|(name, hex)| (name.clone(), hex.0.clone())).collect();
            if next.0.get(&file.keyid) == Some(&raw) {
                merged.known.push(file.keyid.clone());
                continue;
            }
            self.check_first(&next, file)?;
            next.0.insert(file.keyid.clone(), raw);
            merged.added.push(file.keyid.clone());
        }
        *signatures = next;
        Ok(merged)
    }

    /// Who has signed, and who is missing, for each role that is asked.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] for a signature by a key of the role that does not fit.
    pub fn tally(&self, signatures: &Signatures) -> Result<Vec<Tally>, RequestError> {
        self.asked.iter().map(|asked| tally_of(asked, &self.contents, signatures)).collect()
    }

    /// That `file` answers this request, by a key with a say, with valid signatures of each file and no other.
    pub(super) fn check(&self, file: &SignatureFile) -> Result<(), RequestError> {
        if file.request != self.digest {
            let (found, expected) = (file.request.clone(), self.digest.clone());
            return Err(RequestError::Stale { keyid: file.keyid.clone(), found, expected });
        }
        self.check_say(&file.keyid)?;
        if !file.signatures.keys().eq(self.contents.keys()) {
            return Err(RequestError::Fields);
        }
        let key = self.asked.iter().find_map(|asked| asked.keys.keys().get(&file.keyid));
        let pairs = self.contents.iter().zip(file.signatures.values());
        key.map_or(Ok(()), |key| pairs.into_iter().try_for_each(|(content, raw)| check_one(key, content, &raw.0)))
    }

    /// That this public key, under whatever id, has not signed validly before.
    fn check_first(&self, signatures: &Signatures, file: &SignatureFile) -> Result<(), RequestError> {
        let keys = || self.asked.iter().flat_map(|asked| asked.keys.keys().values());
        let own: BTreeSet<Digest> = keys().filter(|key| *key.id() == file.keyid).map(PublicKey::identity).collect();
        for twin in keys().filter(|key| own.contains(&key.identity())) {
            if has_signed(twin, &self.contents, signatures).unwrap_or(false) {
                return Err(RequestError::Duplicate { keyid: twin.id().clone() });
            }
        }
        Ok(())
    }
}

type Contents = BTreeMap<String, Vec<u8>>;

/// How far the role `asked` is with `contents`.
pub(super) fn tally_of(asked: &Asked, contents: &Contents, signatures: &Signatures) -> Result<Tally, RequestError> {
    let mut signed = Vec::new();
    for (keyid, key) in asked.keys.keys() {
        if has_signed(key, contents, signatures)? {
            signed.push(keyid.clone());
        }
    }
    let met = asked.keys.is_met_by(&signed);
    let missing = asked.keys.keys().keys().filter(|keyid| !signed.contains(keyid)).cloned().collect();
    Ok(Tally { role: asked.role.clone(), threshold: asked.keys.threshold(), signed, missing, met })
}

fn has_signed(key: &PublicKey, contents: &Contents, signatures: &Signatures) -> Result<bool, RequestError> {
    let Some(files) = signatures.0.get(key.id()) else { return Ok(false) };
    for (file, content) in contents {
        match files.get(file) {
            Some(raw) => check_one(key, (file, content), raw)?,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn check_one(key: &PublicKey, (file, content): (&String, &Vec<u8>), raw: &[u8]) -> Result<(), RequestError> {
    let keyid = key.id().clone();
    key.verify(content, raw).map_err(|error| match error {
        KeyError::UnknownScheme(scheme) => RequestError::UnknownScheme { keyid, scheme },
        _ => RequestError::Invalid { keyid, file: file.clone() },
    })
}
