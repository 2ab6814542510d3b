//! The one file that changes: `state.json`, counted up at each change and sealed by the site's key.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::enrolment::Enrolment;
use super::mirror::Resolution;
use super::revocations::KnownList;
use super::streams::StreamRecord;
use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::dsse::Envelope;
use crate::format;
use crate::json::{Limits, jcs};
use crate::role::KeySet;
use crate::signer::Signer;
use crate::site::SiteKeys;
use crate::utc;

const STATE: &str = "state.json";
const FORMAT: &str = format::TRUST_STATE.current;

/// What the envelope says it holds.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.sealock.trust-state.v1+json";

/// Everything that a site remembers of whom it trusts and what it accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    format: String,
    /// Counted up by one at each change. Mirrors of it elsewhere tell an older copy from the newest one.
    pub(super) generation: u64,
    /// The file of the site root, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) site_root: Option<Digest>,
    /// The latest time that something accepted was issued at: time never runs behind it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_time")]
    pub(super) floor: Option<Timestamp>,
    /// By prefix.
    pub(super) enrolments: Vec<Enrolment>,
    /// The newest root of each enrolment, by the fingerprint of the enrolled one.
    pub(super) roots: BTreeMap<Digest, Version>,
    /// By root and stream.
    pub(super) streams: Vec<StreamRecord>,
    /// The newest revocation list of each publisher, by the fingerprint of the enrolled root.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) revocations: BTreeMap<Digest, KnownList>,
    /// Revoked digests that are blocked although a live cluster uses them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) confirmed: BTreeSet<Digest>,
    /// Tokens for a broken glass that were used.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) used: BTreeSet<Digest>,
    /// Regressions that a person settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resolutions: Vec<Resolution>,
}

/// A version of a signed document, and its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) version: u64,
    pub(super) digest: Digest,
}

impl State {
    /// The digest of what is sealed.
    pub(super) fn digest(&self) -> Result<Digest, DirectoryError> {
        let bytes = jcs::to_vec(self);
        let bytes = bytes.map_err(|source| DirectoryError::Damaged { path: STATE.into(), source })?;
        Ok(Digest::sha256(&bytes))
    }

    fn new() -> Self {
        Self {
            format: FORMAT.to_owned(),
            generation: 0,
            site_root: None,
            floor: None,
            enrolments: Vec::new(),
            roots: BTreeMap::new(),
            streams: Vec::new(),
            revocations: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            used: BTreeSet::new(),
            resolutions: Vec::new(),
        }
    }
}

/// The state as it was read, and whether a seal was on it.
pub(super) struct Read {
    pub(super) state: State,
    pub(super) is_sealed: bool,
}

impl TrustDirectory {
    /// How often the state has changed.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Seal`], [`DirectoryError::Io`].
    pub fn generation(&self) -> Result<u64, DirectoryError> {
        Ok(self.state()?.generation)
    }

    /// The latest time that something accepted was issued at: the site's time never runs behind it.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Seal`], [`DirectoryError::Io`].
    pub fn time_floor(&self) -> Result<Option<Timestamp>, DirectoryError> {
        Ok(self.state()?.floor)
    }

    /// The state, its seal checked where this is the directory of a site.
    pub(super) fn state(&self) -> Result<State, DirectoryError> {
        let Some(root) = self.site_root()? else { return Ok(self.read_state(&[])?.state) };
        let state = self.read_state(&[root.site_keys()])?.state;
        if state.site_root.as_ref() != Some(&root.fingerprint()) {
            return Err(DirectoryError::OtherSiteRoot { path: self.path().to_owned(), found: root.fingerprint() });
        }
        Ok(state)
    }

    /// The state, sealed by one of `keys`; by whomever or nobody where there are none.
    pub(super) fn read_state(&self, keys: &[&KeySet]) -> Result<Read, DirectoryError> {
        let path = self.path().join(STATE);
        let Some(bytes) = self.read(&path)? else {
            return if keys.is_empty() {
                Ok(Read { state: State::new(), is_sealed: false })
            } else {
                Err(DirectoryError::Missing(path))
            };
        };
        let envelope = Envelope::from_json(&bytes).map_err(|source| DirectoryError::bad_file(&path, source))?;
        let mut seals = keys.iter().map(|keys| envelope.verify(PAYLOAD_TYPE, keys));
        let sealed = seals.next().map(|first| seals.fold(first, Result::or));
        let payload = match sealed {
            Some(payload) => payload.map_err(|source| DirectoryError::Seal { path: path.clone(), source })?,
            None => envelope.unverified(PAYLOAD_TYPE).map_err(|source| DirectoryError::bad_file(&path, source))?,
        };
        let state = format::read(payload, &Limits::MANIFEST, format::TRUST_STATE, |state: &State| &state.format);
        let state = state.map_err(|error| {
            error.either(
                |source| DirectoryError::Damaged { path: path.clone(), source },
                |source| DirectoryError::UnknownFormat { path: path.clone(), source },
            )
        })?;
        Ok(Read { state, is_sealed: envelope.is_signed() })
    }

    /// Reads, changes and writes the state as one step, sealed by `seal`. Where nothing changes nothing is written.
    ///
    /// Whatever file the change makes the state name must be written by then. Imports that were frozen stay so.
    pub(super) fn change<T, E: From<DirectoryError>>(
        &self,
        seal: Option<&SiteKeys>,
        change: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        self.change_and(seal, change, |after| self.stay_frozen(after.generation))
    }

    /// As [`Self::change`]; `before_writing` is called with the state that is about to be written.
    pub(super) fn change_and<T, E: From<DirectoryError>>(
        &self,
        seal: Option<&SiteKeys>,
        change: impl FnOnce(&mut State) -> Result<T, E>,
        before_writing: impl FnOnce(&State) -> Result<(), DirectoryError>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let before = self.state()?;
        let mut after = before.clone();
        let changed = change(&mut after)?;
        if after != before {
            after.generation += 1;
            before_writing(&after)?;
            self.write_state(&after, seal)?;
        }
        Ok(changed)
    }

    /// Only before there is a site may a state go without a seal.
    pub(super) fn write_state(&self, state: &State, seal: Option<&SiteKeys>) -> Result<(), DirectoryError> {
        let path = self.path().join(STATE);
        if seal.is_none() && (state.site_root.is_some() || self.read_state(&[])?.is_sealed) {
            return Err(DirectoryError::SealNeeded { path });
        }
        let damaged = |source| DirectoryError::Damaged { path: path.clone(), source };
        let payload = jcs::to_vec(state).map_err(damaged)?;
        let signers: Vec<&dyn Signer> = seal.iter().map(|site| site.signer()).collect();
        let envelope = Envelope::sign(PAYLOAD_TYPE, &payload, &signers).map_err(DirectoryError::Sign)?;
        let bytes = envelope.to_json().map_err(|source| DirectoryError::bad_file(&path, source))?;
        self.replace(&path, &bytes)?;
        seal.map_or(Ok(()), |seal| self.write_signed_generation(state, seal))
    }
}

mod optional_time {
    use super::{Deserialize, Serialize, Timestamp, utc};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Time(#[serde(with = "utc")] Timestamp);

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
    }
}
