//! Publishers' roots: enrolled once by fingerprint, then followed along their chain.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::state::{State, Version};
use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::names::{NamePrefix, StreamName, StreamPrefix};
use crate::site::SiteKeys;
use crate::tuf::{Root, RootWalk, Rules, open_root};

/// Which streams an enrolled root speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The streams.
    pub prefix: StreamPrefix,
    /// The SHA-256 of the file that was enrolled: the root's name for ever.
    pub fingerprint: Digest,
    /// The sequence with which its streams begin at this site; from 0 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<u64>,
    /// What the names of the artifacts in its bundles begin with; empty: they are free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NamePrefix>,
}

impl Enrolment {
    /// The one that speaks for `stream`: the one with the longest prefix.
    pub(super) fn speaking_for<'a>(enrolments: &'a [Self], stream: &StreamName) -> Option<&'a Self> {
        let covering = enrolments.iter().filter(|enrolment| enrolment.prefix.covers(stream));
        covering.max_by_key(|enrolment| enrolment.prefix.specificity())
    }

    /// Prefixes as an enrolment holds them: each once, in one order, and none where all names are meant anyway.
    pub fn names_of(names: &[NamePrefix]) -> Vec<NamePrefix> {
        if names.iter().any(NamePrefix::is_all) {
            return Vec::new();
        }
        let names: BTreeSet<&NamePrefix> = names.iter().collect();
        names.into_iter().cloned().collect()
    }

    /// What the enrolment adds to the rules of verification.
    pub fn rules(&self) -> Rules<'_> {
        let names = (!self.names.is_empty()).then_some(self.names.as_slice());
        Rules { from_sequence: self.from_sequence, names, ..Rules::default() }
    }
}

/// A root that is to be enrolled.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its file, byte for byte.
    pub root: &'a [u8],
    /// The SHA-256 that the file must have, as it came out of band.
    pub fingerprint: &'a Digest,
    /// The streams that it is to speak for.
    pub prefix: &'a StreamPrefix,
    /// The sequence with which its streams begin at this site, where the publisher said one.
    pub from_sequence: Option<u64>,
    /// What the names of the artifacts in its bundles have to begin with; empty: they are free.
    pub names: &'a [NamePrefix],
}

/// The newest root that is trusted for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRoot {
    /// The enrolment it goes back to.
    pub enrolment: Enrolment,
    /// Its version.
    pub version: u64,
    /// Its file, byte for byte.
    pub bytes: Vec<u8>,
    /// What it says.
    pub root: Root,
}

impl TrustDirectory {
    /// Enrols a publisher's root, if its file has the fingerprint. Again is no harm; with other names it has those from now on.
    ///
    /// # Errors
    /// [`DirectoryError::Fingerprint`], [`DirectoryError::Root`], [`DirectoryError::PrefixTaken`],
    /// [`DirectoryError::NamesNeeded`], [`DirectoryError::SealNeeded`], [`DirectoryError::Io`].
    pub fn enroll(&self, candidate: &Candidate<'_>, seal: Option<&SiteKeys>) -> Result<Enrolment, DirectoryError> {
        let Candidate { root: root_bytes, fingerprint, prefix, from_sequence, names } = *candidate;
        let found = Digest::of(fingerprint.algorithm(), root_bytes);
        if &found != fingerprint {
            return Err(DirectoryError::Fingerprint { expected: fingerprint.clone(), found });
        }
        if names.is_empty() && !prefix.has_every_name() {
            return Err(DirectoryError::NamesNeeded(prefix.clone()));
        }
        let root = open_root(root_bytes).map_err(DirectoryError::Root)?;
        let fingerprint = Digest::sha256(root_bytes);
        let enrolment =
            Enrolment { prefix: prefix.clone(), fingerprint, from_sequence, names: Enrolment::names_of(names) };
        self.change(seal, |state| {
            if let Some(present) = state.enrolments.iter_mut().find(|present| present.prefix == *prefix) {
                if (&present.fingerprint, present.from_sequence) == (&enrolment.fingerprint, from_sequence) {
                    present.names.clone_from(&enrolment.names);
                    return Ok(());
                }
                let enrolled = present.fingerprint.clone();
                return Err(DirectoryError::PrefixTaken { prefix: prefix.clone(), enrolled });
            }
            if !state.roots.contains_key(&enrolment.fingerprint) {
                self.keep_root(state, &enrolment.fingerprint, root.version, root_bytes)?;
            }
            state.enrolments.push(enrolment.clone());
            state.enrolments.sort_by(|left, right| left.prefix.cmp(&right.prefix));
            Ok(())
        })?;
        Ok(enrolment)
    }

    /// Everything that is enrolled, by prefix.
    ///
    /// # Errors
    /// [`DirectoryError::Io`], [`DirectoryError::Damaged`], [`DirectoryError::Seal`].
    pub fn enrolments(&self) -> Result<Vec<Enrolment>, DirectoryError> {
        Ok(self.state()?.enrolments)
    }

    /// The newest root that is trusted for `stream`; of several enrolments the longest prefix wins.
    ///
    /// # Errors
    /// [`DirectoryError::NotEnrolled`], [`DirectoryError::RootDamaged`], [`DirectoryError::Io`].
    pub fn root_for(&self, stream: &StreamName) -> Result<TrustedRoot, DirectoryError> {
        self.trusted_root(&self.state()?, stream)
    }

    pub(super) fn trusted_root(&self, state: &State, stream: &StreamName) -> Result<TrustedRoot, DirectoryError> {
        let enrolment = state.enrolment_of(stream)?.clone();
        let (bytes, root) = self.newest_root(state, &enrolment.fingerprint)?;
        Ok(TrustedRoot { enrolment, version: root.version, bytes, root })
    }

    /// The newest root of the publisher with the enrolled root `fingerprint`: its file, and what it says.
    pub(super) fn newest_root(&self, state: &State, fingerprint: &Digest) -> Result<(Vec<u8>, Root), DirectoryError> {
        let damaged = |source| DirectoryError::RootDamaged { fingerprint: fingerprint.clone(), source };
        let Version { version, digest } = state.roots.get(fingerprint).ok_or_else(|| damaged(None))?;
        let bytes = self.read(&self.root_path(fingerprint, *version))?;
        // Another file in its place, however well signed, is not what the state names.
        let bytes = bytes.filter(|bytes| Digest::sha256(bytes) == *digest).ok_or_else(|| damaged(None))?;
        let root = open_root(&bytes).map_err(|source| damaged(Some(source)))?;
        Ok((bytes, root))
    }

    /// The publisher, by the fingerprint of the enrolled root, in whose chain the root file `root` stands.
    pub(super) fn publisher_with(&self, state: &State, root: &Digest) -> Result<Digest, DirectoryError> {
        for (fingerprint, newest) in &state.roots {
            // The chain has no hole; it begins with the root that was enrolled.
            for version in (1..=newest.version).rev() {
                let Some(bytes) = self.read(&self.root_path(fingerprint, version))? else { break };
                if Digest::sha256(&bytes) == *root {
                    return Ok(fingerprint.clone());
                }
            }
        }
        Err(DirectoryError::UnknownPublisher(root.clone()))
    }

    /// Keeps the newer roots that a walk found valid, even if the bundle that brought them is refused.
    ///
    /// # Errors
    /// [`DirectoryError::Io`], [`DirectoryError::SealNeeded`]; nothing is kept then.
    pub fn keep_roots(
        &self,
        root: &TrustedRoot,
        walk: &RootWalk,
        seal: Option<&SiteKeys>,
    ) -> Result<(), DirectoryError> {
        if walk.newer.is_empty() {
            return Ok(());
        }
        self.change(seal, |state| self.keep_newer(state, &root.enrolment.fingerprint, &walk.newer))
    }

    /// Ascending, and nothing that another import has kept in the meantime, so that the chain never has a hole.
    pub(super) fn keep_newer(
        &self,
        state: &mut State,
        fingerprint: &Digest,
        newer: &[(u64, Vec<u8>)],
    ) -> Result<(), DirectoryError> {
        let newest = state.roots.get(fingerprint).map_or(0, |newest| newest.version);
        let missing = newer.iter().filter(|(version, _)| *version > newest);
        for (version, bytes) in missing {
            self.keep_root(state, fingerprint, *version, bytes)?;
        }
        Ok(())
    }

    /// The file comes first: a state that names a root without its file would be damage.
    fn keep_root(
        &self,
        state: &mut State,
        fingerprint: &Digest,
        version: u64,
        bytes: &[u8],
    ) -> Result<(), DirectoryError> {
        let folder = self.roots_folder().join(fingerprint.hex());
        self.replace_in(&folder, &root_name(version), bytes)?;
        state.roots.insert(fingerprint.clone(), Version { version, digest: Digest::sha256(bytes) });
        Ok(())
    }

    fn root_path(&self, fingerprint: &Digest, version: u64) -> PathBuf {
        self.roots_folder().join(fingerprint.hex()).join(root_name(version))
    }
}

fn root_name(version: u64) -> String {
    format!("{version}.root.json")
}

impl State {
    /// The enrolment that speaks for `stream`.
    pub(super) fn enrolment_of(&self, stream: &StreamName) -> Result<&Enrolment, DirectoryError> {
        let longest = Enrolment::speaking_for(&self.enrolments, stream);
        longest.ok_or_else(|| DirectoryError::NotEnrolled(stream.clone()))
    }
}
