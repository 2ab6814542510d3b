//! Publishers' roots: enrolled once by fingerprint, then followed along their chain.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::json::{Limits, jcs};
use crate::names::{StreamName, StreamPrefix};
use crate::tuf::{Root, RootWalk, open_root};

const ENROLMENTS: &str = "enrolments.json";
const FORMAT: &str = "enrolments/1.0";

/// Which streams an enrolled root speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The streams.
    pub prefix: StreamPrefix,
    /// The SHA-256 of the file that was enrolled: the root's name for ever.
    pub fingerprint: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolments {
    format: String,
    enrolments: Vec<Enrolment>,
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
    /// Enrols a publisher's root for the streams under `prefix`, if its file has `fingerprint`. Again is no harm.
    ///
    /// # Errors
    /// [`DirectoryError::Fingerprint`], [`DirectoryError::Root`], [`DirectoryError::PrefixTaken`],
    /// [`DirectoryError::Io`].
    pub fn enroll(
        &self,
        root_bytes: &[u8],
        fingerprint: &Digest,
        prefix: &StreamPrefix,
    ) -> Result<Enrolment, DirectoryError> {
        let found = Digest::of(fingerprint.algorithm(), root_bytes);
        if &found != fingerprint {
            return Err(DirectoryError::Fingerprint { expected: fingerprint.clone(), found });
        }
        let root = open_root(root_bytes).map_err(DirectoryError::Root)?;
        let enrolment = Enrolment { prefix: prefix.clone(), fingerprint: Digest::sha256(root_bytes) };

        let _lock = self.lock()?;
        let mut enrolments = self.enrolments()?;
        if let Some(present) = enrolments.iter().find(|present| present.prefix == *prefix) {
            if *present == enrolment {
                return Ok(enrolment);
            }
            let enrolled = present.fingerprint.clone();
            return Err(DirectoryError::PrefixTaken { prefix: prefix.clone(), enrolled });
        }
        // The root comes first: an enrolment without its root would be damage.
        self.keep_root(&enrolment.fingerprint, root.version, root_bytes)?;
        enrolments.push(enrolment.clone());
        enrolments.sort_by(|left, right| left.prefix.cmp(&right.prefix));
        self.write_enrolments(enrolments)?;
        Ok(enrolment)
    }

    /// Everything that is enrolled, by prefix.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] and [`DirectoryError::Damaged`].
    pub fn enrolments(&self) -> Result<Vec<Enrolment>, DirectoryError> {
        let path = self.path().join(ENROLMENTS);
        let Some(bytes) = self.read(&path)? else {
            return Ok(Vec::new());
        };
        let read: Result<Enrolments, _> = jcs::from_slice(&bytes, &Limits::DOCUMENT);
        Ok(read.map_err(|source| DirectoryError::Damaged { path, source })?.enrolments)
    }

    /// The newest root that is trusted for `stream`; of several enrolments the longest prefix wins.
    ///
    /// # Errors
    /// [`DirectoryError::NotEnrolled`], [`DirectoryError::RootDamaged`], [`DirectoryError::Io`].
    pub fn root_for(&self, stream: &StreamName) -> Result<TrustedRoot, DirectoryError> {
        let enrolments = self.enrolments()?;
        let covering = enrolments.into_iter().filter(|enrolment| enrolment.prefix.covers(stream));
        let enrolment = covering.max_by_key(|enrolment| enrolment.prefix.specificity());
        let enrolment = enrolment.ok_or_else(|| DirectoryError::NotEnrolled(stream.clone()))?;
        let damaged = |source| DirectoryError::RootDamaged { fingerprint: enrolment.fingerprint.clone(), source };

        let version = self.newest_root(&enrolment.fingerprint)?.ok_or_else(|| damaged(None))?;
        let bytes = self.read(&self.root_path(&enrolment.fingerprint, version))?.ok_or_else(|| damaged(None))?;
        let root = open_root(&bytes).map_err(|source| damaged(Some(source)))?;
        Ok(TrustedRoot { enrolment, version, bytes, root })
    }

    /// Keeps the newer roots that a walk found valid, even if the bundle that brought them is refused.
    ///
    /// # Errors
    /// [`DirectoryError::Io`]; the roots up to there are kept.
    pub fn keep_roots(&self, root: &TrustedRoot, walk: &RootWalk) -> Result<(), DirectoryError> {
        let _lock = self.lock()?;
        self.keep_newer_roots(&root.enrolment.fingerprint, &walk.newer)
    }

    /// Ascending, and nothing that another import has kept in the meantime, so that the chain never has a hole.
    pub(super) fn keep_newer_roots(
        &self,
        fingerprint: &Digest,
        newer: &[(u64, Vec<u8>)],
    ) -> Result<(), DirectoryError> {
        let newest = self.newest_root(fingerprint)?.unwrap_or_default();
        let missing = newer.iter().filter(|(version, _)| *version > newest);
        for (version, bytes) in missing {
            self.keep_root(fingerprint, *version, bytes)?;
        }
        Ok(())
    }

    fn keep_root(&self, fingerprint: &Digest, version: u64, bytes: &[u8]) -> Result<(), DirectoryError> {
        let path = self.root_path(fingerprint, version);
        let folder = self.roots_folder().join(fingerprint.hex());
        fs::create_dir_all(&folder).map_err(DirectoryError::io("make", &folder))?;
        crate::durable::sync_parent(&folder).map_err(DirectoryError::io("make", &folder))?;
        self.replace(&path, bytes)
    }

    fn newest_root(&self, fingerprint: &Digest) -> Result<Option<u64>, DirectoryError> {
        let folder = self.roots_folder().join(fingerprint.hex());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DirectoryError::io("read", &folder)(error)),
        };
        let mut newest = None;
        for entry in entries {
            let name = entry.map_err(DirectoryError::io("read", &folder))?.file_name();
            let version = name.to_str().and_then(|name| name.strip_suffix(".root.json")?.parse().ok());
            newest = newest.max(version);
        }
        Ok(newest)
    }

    fn root_path(&self, fingerprint: &Digest, version: u64) -> PathBuf {
        self.roots_folder().join(fingerprint.hex()).join(format!("{version}.root.json"))
    }

    fn write_enrolments(&self, enrolments: Vec<Enrolment>) -> Result<(), DirectoryError> {
        let path = self.path().join(ENROLMENTS);
        let document = Enrolments { format: FORMAT.to_owned(), enrolments };
        let bytes = jcs::to_vec(&document).map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
        self.replace(&path, &bytes)
    }
}
