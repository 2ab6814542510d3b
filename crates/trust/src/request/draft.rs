//! The draft of a root: what it is to say, the root before it, and the signatures so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signatures::tally_of;
use super::{Asked, LIMITS, Merged, ROOT, RequestError, SignatureFile, Signatures, SigningRequest, Tally};
use super::{check_new_root, read};
use crate::format;
use crate::json::{self, Value, jcs};
use crate::signer::Signer;
use crate::tuf::{Root, RootSpec, Signed, make, open_root};

/// The value of `format` of a draft.
pub const DRAFT_FORMAT: &str = format::ROOT_DRAFT.current;

/// A root that may still lack signatures.
#[derive(Clone, Debug)]
pub struct RootDraft {
    previous: Option<(Vec<u8>, Root)>,
    root: Signed<Root>,
    request: SigningRequest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Value>,
    root: Value,
}

impl RootDraft {
    /// The draft of the root that `spec` asks for, which replaces `previous` where there is one.
    ///
    /// # Errors
    /// [`RequestError`] where `previous` is not believed.
    pub fn new(previous: Option<&[u8]>, spec: &RootSpec) -> Result<Self, RequestError> {
        let version = previous.map(open_root).transpose()?.map_or(1, |root| root.version + 1);
        Self::with(previous.map(<[u8]>::to_vec), Signed::unsigned(make::root(spec, version))?)
    }

    /// Reads a draft. Its signatures are not verified yet: see [`Self::tally`].
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RequestError> {
        let wire = read(bytes, &LIMITS, format::ROOT_DRAFT, |wire: &Wire| &wire.format)?;
        let previous = wire.previous.as_ref().map(jcs::to_vec).transpose()?;
        Self::with(previous, Signed::parse_canonical(ROOT, &jcs::to_vec(&wire.root)?)?)
    }

    fn with(previous: Option<Vec<u8>>, root: Signed<Root>) -> Result<Self, RequestError> {
        let request = SigningRequest::for_root(previous.as_deref(), &root)?;
        let previous = previous.map(|bytes| open_root(&bytes).map(|root| (bytes, root))).transpose()?;
        check_new_root(previous.as_ref().map(|(_, root)| root), &root.signed)?;
        Ok(Self { previous, root, request })
    }

    /// The draft's file: canonical JSON.
    ///
    /// # Errors
    /// [`RequestError::Json`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RequestError> {
        let previous = self.previous.as_ref().map(|(bytes, _)| json::parse(bytes, &LIMITS)).transpose()?;
        let root = json::parse(&self.root.to_bytes()?, &LIMITS)?;
        Ok(jcs::to_vec(&Wire { format: DRAFT_FORMAT.to_owned(), previous, root })?)
    }

    /// The root as it is to be.
    pub fn root(&self) -> &Root {
        &self.root.signed
    }

    /// The root that it replaces.
    pub fn previous(&self) -> Option<&Root> {
        self.previous.as_ref().map(|(_, root)| root)
    }

    /// The request that goes out to the keyholders.
    pub fn request(&self) -> &SigningRequest {
        &self.request
    }

    /// Signs with keys that are at hand.
    ///
    /// # Errors
    /// [`RequestError::NoSay`], [`RequestError::Sign`].
    pub fn sign(&mut self, signers: &[&dyn Signer]) -> Result<Merged, RequestError> {
        let has_signed = |signer: &&&dyn Signer| {
            !self.root.signatures.iter().any(|signature| signature.keyid == *signer.public_key().id())
        };
        let files = signers.iter().filter(has_signed).map(|signer| self.request.sign(*signer));
        let files: Vec<_> = files.collect::<Result<_, _>>()?;
        self.merge(&files)
    }

    /// Adds the signatures of `files`, each verified first.
    ///
    /// # Errors
    /// As [`SigningRequest::merge`].
    pub fn merge(&mut self, files: &[SignatureFile]) -> Result<Merged, RequestError> {
        let mut signatures = self.signatures();
        let merged = self.request.merge(&mut signatures, files)?;
        signatures.give(ROOT, &mut self.root);
        Ok(merged)
    }

    /// Who has signed, and who is missing.
    ///
    /// # Errors
    /// As [`SigningRequest::tally`].
    pub fn tally(&self) -> Result<Vec<Tally>, RequestError> {
        self.request.tally(&self.signatures())
    }

    /// The root's file, once every threshold is met.
    ///
    /// # Errors
    /// As [`SigningRequest::tally`].
    pub fn finished(&self) -> Result<Option<Vec<u8>>, RequestError> {
        let met = self.tally()?.iter().all(|tally| tally.met);
        Ok(if met { Some(self.root.to_bytes()?) } else { None })
    }

    /// Whether the root in the file `bytes` says what this draft says, whoever signed it.
    ///
    /// # Errors
    /// [`RequestError`] where it is no root.
    pub fn is_finished_as(&self, bytes: &[u8]) -> Result<bool, RequestError> {
        Ok(Signed::<Root>::parse_canonical(ROOT, bytes)?.canonical() == self.root.canonical())
    }

    fn signatures(&self) -> Signatures {
        let mut signatures = Signatures::default();
        signatures.take(ROOT, &self.root);
        signatures
    }
}

/// Who has signed the finished root in the file `bytes`: under `previous`, where it is given, and under itself.
///
/// # Errors
/// [`RequestError`] where it is no root, or a signature of these roles does not fit.
pub fn root_tally(bytes: &[u8], previous: Option<&Root>) -> Result<Vec<Tally>, RequestError> {
    let root: Signed<Root> = Signed::parse_canonical(ROOT, bytes)?;
    let mut signatures = Signatures::default();
    signatures.take(ROOT, &root);
    let contents = BTreeMap::from([(ROOT.to_owned(), root.canonical().to_vec())]);
    let roots = previous.into_iter().chain([&root.signed]);
    roots.map(|by| tally_of(&Asked::root_keys_of(by)?, &contents, &signatures)).collect()
}
