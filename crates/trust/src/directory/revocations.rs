//! Revocation lists: kept beside the roots, and asked for what they say of a stream's content.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::enrolment::Enrolment;
use super::state::State;
use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::key::KeyId;
use crate::names::StreamName;
use crate::revocation::{Entry, RevocationList, VerifiedList};
use crate::site::SiteKeys;

/// The newest revocation list of a publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownList {
    version: u64,
    digest: Digest,
    /// Whether more than the revoker's keys stand behind it.
    beyond_doubt: bool,
}

/// What keeping a revocation list came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptList {
    /// The fingerprint of the publisher's enrolled root.
    pub publisher: Digest,
    /// What it says.
    pub list: RevocationList,
    /// Whether it is new here.
    pub changed: bool,
    /// Whether more than the revoker's keys stand behind it.
    pub beyond_doubt: bool,
}

/// What a revocation means for a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nothing is known against it.
    Clear,
    /// It must not be used any more.
    Blocked(&'a Entry),
    /// It is revoked, but a live cluster uses it: an alarm, until the site confirms or more than the revoker signs.
    Alarm(&'a Entry),
}

/// All that is revoked, as this site has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    enrolments: Vec<Enrolment>,
    lists: BTreeMap<Digest, (RevocationList, bool)>,
    confirmed: BTreeSet<Digest>,
}

impl Revoked {
    /// The newest lists, each with the fingerprint of its publisher.
    pub fn lists(&self) -> impl Iterator<Item = (&Digest, &RevocationList)> {
        self.lists.iter().map(|(publisher, (list, _))| (publisher, list))
    }

    /// The list of the publisher who speaks for `stream`. Nobody revokes what is another's.
    pub fn list_for(&self, stream: &StreamName) -> Option<&RevocationList> {
        self.of(stream).map(|(list, _)| list)
    }

    /// The revoked keys of the publisher who speaks for `stream`.
    pub fn keys_for(&self, stream: &StreamName) -> BTreeSet<KeyId> {
        self.list_for(stream).map(RevocationList::keys).unwrap_or_default()
    }

    /// What it would be with the list `kept`, which may come with the very bundle that is judged.
    pub fn learn(&mut self, kept: &KeptList) {
        if kept.changed {
            self.lists.insert(kept.publisher.clone(), (kept.list.clone(), kept.beyond_doubt));
        }
    }

    /// What is known against `digest` as content of `stream`, where a live cluster uses it or not.
    pub fn standing(&self, stream: &StreamName, digest: &Digest, is_in_use: bool) -> Standing<'_> {
        let Some((list, beyond_doubt)) = self.of(stream) else { return Standing::Clear };
        match list.of_digest(digest) {
            None => Standing::Clear,
            Some(entry) if is_in_use && !beyond_doubt && !self.confirmed.contains(digest) => Standing::Alarm(entry),
            Some(entry) => Standing::Blocked(entry),
        }
    }

    fn of(&self, stream: &StreamName) -> Option<(&RevocationList, bool)> {
        let enrolment = Enrolment::speaking_for(&self.enrolments, stream)?;
        self.lists.get(&enrolment.fingerprint).map(|(list, beyond_doubt)| (list, *beyond_doubt))
    }
}

impl TrustDirectory {
    /// Whether the revocation list in `bytes` would be kept at the time `now`. Writes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::Revocations`], [`DirectoryError::UnknownPublisher`], [`DirectoryError::Io`].
    pub fn check_revocations(&self, bytes: &[u8], now: Timestamp) -> Result<KeptList, DirectoryError> {
        self.judge_list(&self.state()?, bytes, now)
    }

    /// Whether `list`, which came with a bundle of `publisher` and is genuine under the bundle's newest root, would be kept
    /// at the time `now`. Writes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::Revocations`], [`DirectoryError::Io`].
    pub fn check_carried(
        &self,
        publisher: &Digest,
        list: &VerifiedList,
        now: Timestamp,
    ) -> Result<KeptList, DirectoryError> {
        self.judge_genuine(&self.state()?, publisher, list, now)
    }

    /// Keeps the revocation list in `bytes`, if it is genuine at the time `now` and not older than the one there is.
    ///
    /// # Errors
    /// [`DirectoryError::Revocations`], [`DirectoryError::UnknownPublisher`], [`DirectoryError::Io`].
    pub fn keep_revocations(
        &self,
        bytes: &[u8],
        now: Timestamp,
        seal: Option<&SiteKeys>,
    ) -> Result<KeptList, DirectoryError> {
        self.change(seal, |state| {
            let kept = self.judge_list(state, bytes, now)?;
            self.keep_list(state, &kept, bytes)?;
            Ok(kept)
        })
    }

    /// Keeps `list`, whose file is `bytes`, and which came with a bundle of `publisher` and is genuine under the bundle's
    /// newest root.
    ///
    /// # Errors
    /// [`DirectoryError::Revocations`], [`DirectoryError::SealNeeded`], [`DirectoryError::Io`].
    pub fn keep_carried(
        &self,
        publisher: &Digest,
        (list, bytes): (&VerifiedList, &[u8]),
        now: Timestamp,
        seal: Option<&SiteKeys>,
    ) -> Result<KeptList, DirectoryError> {
        self.change(seal, |state| {
            let kept = self.judge_genuine(state, publisher, list, now)?;
            self.keep_list(state, &kept, bytes)?;
            Ok(kept)
        })
    }

    /// The file comes first: a state that names a list without its file would be damage.
    fn keep_list(&self, state: &mut State, kept: &KeptList, bytes: &[u8]) -> Result<(), DirectoryError> {
        if kept.changed {
            let (version, beyond_doubt) = (kept.list.version(), kept.beyond_doubt);
            let known = KnownList { version, digest: Digest::sha256(bytes), beyond_doubt };
            self.replace_in(&self.lists_folder().join(kept.publisher.hex()), &list_name(&known), bytes)?;
            state.revocations.insert(kept.publisher.clone(), known);
        }
        Ok(())
    }

    fn judge_list(&self, state: &State, bytes: &[u8], now: Timestamp) -> Result<KeptList, DirectoryError> {
        let list = RevocationList::read(bytes).map_err(DirectoryError::Revocations)?;
        let publisher = self.publisher_with(state, list.root())?;
        let root = self.newest_root(state, &publisher)?.1;
        let verified = list.verify(&root).map_err(DirectoryError::Revocations)?;
        self.judge_genuine(state, &publisher, &verified, now)
    }

    fn judge_genuine(
        &self,
        state: &State,
        publisher: &Digest,
        verified: &VerifiedList,
        now: Timestamp,
    ) -> Result<KeptList, DirectoryError> {
        let before = self.list_of(state, publisher)?;
        verified.check_follows(before.as_ref().map(|(list, _)| list), now).map_err(DirectoryError::Revocations)?;
        let (list, beyond_doubt) = (verified.list().clone(), verified.is_beyond_doubt());
        // Further signatures under a list that is known may still put it beyond doubt.
        let adds = |(known, is): &(RevocationList, bool)| known.version() < list.version() || beyond_doubt && !is;
        let changed = before.as_ref().is_none_or(adds);
        Ok(KeptList { publisher: publisher.clone(), list, changed, beyond_doubt })
    }

    /// All that is revoked.
    ///
    /// # Errors
    /// [`DirectoryError::ListDamaged`], [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn revoked(&self) -> Result<Revoked, DirectoryError> {
        let state = self.state()?;
        let mut lists = BTreeMap::new();
        for publisher in state.revocations.keys() {
            lists.extend(self.list_of(&state, publisher)?.map(|list| (publisher.clone(), list)));
        }
        Ok(Revoked { lists, enrolments: state.enrolments, confirmed: state.confirmed })
    }

    /// Confirms that `digests` are to be blocked although a live cluster uses them. Returns those that are new.
    ///
    /// # Errors
    /// [`DirectoryError::NotRevoked`], [`DirectoryError::Io`].
    pub fn confirm_revocations(
        &self,
        digests: &[Digest],
        seal: Option<&SiteKeys>,
    ) -> Result<Vec<Digest>, DirectoryError> {
        let revoked = self.revoked()?;
        let is_revoked = |digest: &Digest| revoked.lists().any(|(_, list)| list.of_digest(digest).is_some());
        if let Some(digest) = digests.iter().find(|digest| !is_revoked(digest)) {
            return Err(DirectoryError::NotRevoked(digest.clone()));
        }
        self.change(seal, |state| {
            let new = digests.iter().filter(|digest| state.confirmed.insert((*digest).clone()));
            Ok(new.cloned().collect())
        })
    }

    fn list_of(&self, state: &State, publisher: &Digest) -> Result<Option<(RevocationList, bool)>, DirectoryError> {
        let Some(known) = state.revocations.get(publisher) else { return Ok(None) };
        let path = self.lists_folder().join(publisher.hex()).join(list_name(known));
        let bytes = self.read(&path)?.filter(|bytes| Digest::sha256(bytes) == known.digest);
        let list = bytes.and_then(|bytes| RevocationList::read(&bytes).ok());
        let list = list.ok_or(DirectoryError::ListDamaged(path))?;
        Ok(Some((list, known.beyond_doubt)))
    }

    fn lists_folder(&self) -> PathBuf {
        self.path().join("revocations")
    }
}

/// One version may come again with more signatures: each file stays until the state names the next.
fn list_name(known: &KnownList) -> String {
    format!("{}-{}.json", known.version, &known.digest.hex()[..16])
}
