//! What a site adds to the specification's rules.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{MAX_JUMP, TrustError};
use crate::key::KeyId;
use crate::names::NamePrefix;
use crate::role::KeySet;

/// How far ahead of the site's time a bundle may have been issued: clocks differ, but not by more than a day.
pub const MAX_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// What a site adds to the specification's rules; by default nothing that depends on the site.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'a> {
    /// The first sequence that the site expects of a stream, where its enrolment says one.
    pub from_sequence: Option<u64>,
    /// What the names of artifacts that this publisher brings begin with; none: they are free.
    pub names: Option<&'a [NamePrefix]>,
    /// Keys that were revoked: their signatures count no longer.
    pub revoked: Option<&'a BTreeSet<KeyId>>,
    /// Whether expiry and skipped sequences are told instead of refused: a glass is broken for this manifest.
    pub waive: bool,
}

impl Rules<'_> {
    /// Whether the publisher may bring an artifact called `name`. Otherwise a publisher of one stream could claim a name
    /// that belongs into another one.
    ///
    /// # Errors
    /// [`TrustError::ForeignName`].
    pub fn check_name(&self, name: &str) -> Result<(), TrustError> {
        match self.names {
            Some(allowed) if !allowed.iter().any(|prefix| prefix.covers(name)) => {
                Err(TrustError::ForeignName { name: name.to_owned(), allowed: allowed.to_vec() })
            }
            _ => Ok(()),
        }
    }

    /// Which of `signers` still count for `keys`.
    ///
    /// # Errors
    /// [`TrustError::RevokedKey`] where too few are left.
    pub(super) fn unrevoked(&self, file: &str, keys: &KeySet, signers: Vec<KeyId>) -> Result<Vec<KeyId>, TrustError> {
        let Some(revoked) = self.revoked else { return Ok(signers) };
        let (gone, live): (Vec<_>, Vec<_>) = signers.into_iter().partition(|keyid| revoked.contains(keyid));
        match gone.into_iter().next() {
            Some(keyid) if !keys.is_met_by(&live) => Err(TrustError::RevokedKey { file: file.to_owned(), keyid }),
            _ => Ok(live),
        }
    }

    /// Whether a stream may begin with `sequence` at this site. Otherwise a single signed number could make every later
    /// bundle look old, or an old bundle could be passed off as the newest.
    pub(super) fn check_first(&self, sequence: u64) -> Result<(), TrustError> {
        match self.from_sequence {
            Some(start) if sequence < start => Err(TrustError::BeforeStart { sequence, start }),
            start => check_reach(start.map_or(0, |start| start.saturating_sub(1)), sequence),
        }
    }
}

/// Nobody gets to the end of all numbers.
pub(super) fn check_reach(accepted: u64, sequence: u64) -> Result<(), TrustError> {
    if sequence.saturating_sub(accepted) > MAX_JUMP {
        return Err(TrustError::Jump { sequence, accepted });
    }
    Ok(())
}

/// An issue time becomes the site's time floor: one far in the future would make everything after it look expired.
pub(super) fn check_issued(issued: Option<Timestamp>, now: Timestamp) -> Result<(), TrustError> {
    let latest = now.saturating_add(MAX_SKEW).unwrap_or(Timestamp::MAX);
    match issued {
        Some(issued) if issued > latest => Err(TrustError::IssuedAhead { issued, now }),
        _ => Ok(()),
    }
}
