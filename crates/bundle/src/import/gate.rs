//! What is judged of a bundle before anything of it is written: all but its payload.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sealock_store::Store;
use sealock_trust::break_glass::Token;
use sealock_trust::clock::SiteTime;
use sealock_trust::directory::{Mirror, Revoked, Standing, TrustedRoot};
use sealock_trust::reason::Code;
use sealock_trust::receipt::Exception;
use sealock_trust::revocation::RevocationList;
use sealock_trust::tuf::{Rules, StreamState};
use sealock_trust::{Digest, SiteRoot, StreamName, TrustDirectory};

use super::{ImportError, Terms, list};
use crate::archive::Archive;
use crate::manifest::Manifest;
use crate::verify::{self, Against, Recipient, VerifiedHeader};

/// How long before a root expires its successor is asked for.
const ROOT_DUE: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What a bundle is held against at a station.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Where the releases are kept.
    pub store: &'a Store,
    /// Whom the site trusts, and what it has accepted.
    pub trust: &'a TrustDirectory,
    /// Who the site is.
    pub site: &'a SiteRoot,
}

/// A header that the site lets in.
#[derive(Debug)]
pub struct Judged {
    /// The header.
    pub header: VerifiedHeader,
    /// What is let pass on somebody's word, and goes on record.
    pub exceptions: Vec<Exception>,
    /// What somebody should know.
    pub notices: Vec<Notice>,
    /// The token that is used up.
    pub token: Option<Digest>,
}

/// Something that is no reason to refuse, but that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The clock is behind what others have signed.
    ClockBehind {
        /// What the clock says.
        clock: Timestamp,
        /// What is taken as now.
        floor: Timestamp,
    },
    /// The clock is far ahead of everything that others have signed.
    ClockAhead {
        /// What the clock says.
        clock: Timestamp,
        /// The latest time that others have signed.
        floor: Timestamp,
    },
    /// The soft expiry has passed.
    Stale {
        /// When.
        since: Timestamp,
    },
    /// The publisher's root will expire.
    RootDue {
        /// When.
        expires: Timestamp,
    },
    /// The publisher's revocation list has expired: nobody knows what was revoked since.
    RevocationsExpired {
        /// When.
        expires: Timestamp,
    },
    /// The revocation list in the bundle is older than the one that is known, which goes on to hold.
    ListOlder {
        /// Its version.
        version: u64,
        /// The version that is known.
        known: u64,
    },
    /// The revocation list in the bundle was signed under a root that has been replaced since, and is not taken.
    ListOfOldRoot,
    /// The revocation list in the bundle has expired, and is not taken.
    CarriedListExpired {
        /// When.
        expires: Timestamp,
    },
}

impl Notice {
    /// The reason code that it would have as a refusal, where there is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::ClockBehind { .. } | Self::ClockAhead { .. } => Some(Code::Clock),
            Self::Stale { .. } => Some(Code::Stale),
            Self::RevocationsExpired { .. } | Self::CarriedListExpired { .. } => Some(Code::Expired),
            Self::ListOlder { .. } => Some(Code::RollbackRl),
            Self::RootDue { .. } | Self::ListOfOldRoot => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockBehind { clock, floor } => {
                write!(f, "the clock says {clock}, and a bundle was issued at {floor} already: that is taken as now")
            }
            Self::ClockAhead { clock, floor } => {
                write!(f, "the clock says {clock}, and the latest bundle was issued at {floor}")
            }
            Self::Stale { since } => write!(f, "the bundle is old: its soft expiry passed at {since}"),
            Self::RootDue { expires } => {
                write!(f, "the publisher's root expires at {expires}: the next one should come before")
            }
            Self::RevocationsExpired { expires } => {
                write!(f, "the publisher's revocation list expired at {expires}: a newer one is due")
            }
            Self::ListOlder { version, known } => {
                write!(f, "the bundle brings revocation list {version}, and list {known} is known already: that one holds")
            }
            Self::ListOfOldRoot => f.write_str(
                "the revocation list in the bundle was signed under a root that has been replaced since, and is not taken",
            ),
            Self::CarriedListExpired { expires } => {
                write!(f, "the revocation list in the bundle expired at {expires}, and is not taken: carry a newer one")
            }
        }
    }
}

/// What is known at the station when a bundle comes.
struct Known<'a> {
    stream: &'a StreamName,
    time: SiteTime,
    state: Option<StreamState>,
    revoked: Revoked,
    /// What there is to say of the revocation list that came along.
    list: Option<Notice>,
}

impl Gate<'_> {
    /// Refuses while the trust state is older than something the site has signed.
    ///
    /// # Errors
    /// `STATE_REGRESSION`.
    pub fn check_generation(&self) -> Result<(), ImportError> {
        if let Some(current) = self.store.current_release(self.site.site_keys())? {
            let place = format!("release {}", current.release.number);
            if let Some(generation) = current.release.trust_generation {
                self.trust.compare(&Mirror::of(place, generation))?;
            }
        }
        Ok(self.trust.check_not_frozen()?)
    }

    /// Judges the bundle behind `archive`, of `stream`, whose publisher has the root `root`.
    ///
    /// # Errors
    /// Each with its reason code.
    pub fn judge(
        &self,
        archive: Archive,
        stream: &StreamName,
        root: &TrustedRoot,
        terms: &Terms,
    ) -> Result<Judged, ImportError> {
        let time = SiteTime::new(terms.now, self.trust.time_floor()?);
        let (state, mut revoked) = (self.trust.stream_state(stream)?, self.trust.revoked()?);
        let carried = verify::revocations(&archive, &verify::metadata(&archive)?, &root.bytes)?;
        let list = match &carried {
            Some(carried) => list::learn(self.trust, root, (carried, &mut revoked), time.now())?,
            None => archive.revocations().map(|_| Notice::ListOfOldRoot),
        };
        let known = Known { stream, time, state, revoked, list };
        match (self.strictly(archive.clone(), root, terms, &known), &terms.break_glass) {
            (Err(error), Some(token)) if is_waivable(&error) => self.behind_broken_glass(archive, root, token, &known),
            (judged, _) => judged,
        }
    }

    fn strictly(
        &self,
        archive: Archive,
        root: &TrustedRoot,
        terms: &Terms,
        known: &Known<'_>,
    ) -> Result<Judged, ImportError> {
        let keys = known.revoked.keys_for(known.stream);
        let against = Against {
            root: &root.bytes,
            now: known.time.now(),
            state: known.state.as_ref(),
            accept_gap: terms.accept_gap.clone(),
            recipient: Some(self.recipient()),
            rules: Rules { revoked: Some(&keys), ..root.enrolment.rules() },
        };
        let doubted = |error: ImportError| match known.time.far_ahead() {
            Some(floor) if !terms.confirm_clock && is_about_time(&error) => {
                ImportError::ClockAhead { clock: terms.now, floor, source: Box::new(error) }
            }
            _ => error,
        };
        let header = verify::header(archive, &against).map_err(|error| doubted(error.into()))?;
        self.check_revoked(header.manifest(), header.digest(), known)?;
        let mut exceptions = Vec::new();
        if let Some(gap) = header.trust().missing() {
            exceptions.push(Exception::Gap { first: *gap.start(), last: *gap.end() });
        }
        exceptions.extend(self.check_age(&header, terms, known).map_err(doubted)?);
        let notices = notices(&header, known);
        Ok(Judged { header, exceptions, notices, token: None })
    }

    /// Two people have said that this very bundle may be too old, out of turn or for others. All else holds as ever.
    fn behind_broken_glass(
        &self,
        archive: Archive,
        root: &TrustedRoot,
        token: &[u8],
        known: &Known<'_>,
    ) -> Result<Judged, ImportError> {
        let now = known.time.now();
        let token = Token::verify(token, self.site, &archive.manifest_digest(), now)?;
        let keys = known.revoked.keys_for(known.stream);
        let against = Against {
            root: &root.bytes,
            now,
            state: known.state.as_ref(),
            accept_gap: None,
            recipient: None,
            rules: Rules { revoked: Some(&keys), waive: true, ..root.enrolment.rules() },
        };
        let header = verify::header(archive, &against)?;
        self.check_revoked(header.manifest(), header.digest(), known)?;
        let is_for_others = verify::check_audience(header.manifest(), self.recipient()).is_err();
        let waived = [
            (Code::Expired, header.trust().expires() <= now),
            (Code::Stale, header.is_stale(now)),
            (Code::Gap, header.trust().missing().is_some()),
            (Code::Audience, is_for_others),
        ];
        let codes = waived.into_iter().filter(|(_, is)| *is).map(|(code, _)| code.to_string()).collect();
        let reason = token.content.reason;
        let exceptions = vec![Exception::BreakGlass { token: token.digest.clone(), reason, codes }];
        let notices = notices(&header, known);
        Ok(Judged { header, exceptions, notices, token: Some(token.digest) })
    }

    fn recipient(&self) -> Recipient<'_> {
        Recipient { site: self.site.id(), classification: self.site.classification() }
    }

    /// Whether a live cluster uses it makes no difference here: what is revoked is not published anew.
    fn check_revoked(&self, manifest: &Manifest, digest: &Digest, known: &Known<'_>) -> Result<(), ImportError> {
        let named = manifest.references.iter().map(|one| (one.name.to_string(), &one.digest));
        let blobs = manifest.blobs.iter().map(|blob| (format!("the blob {}", blob.digest), &blob.digest));
        let all = std::iter::once(("the bundle".to_owned(), digest)).chain(named).chain(blobs);
        for (what, digest) in all {
            if let Standing::Blocked(entry) = known.revoked.standing(known.stream, digest, false) {
                return Err(ImportError::Revoked { what, reason: entry.reason.clone(), since: entry.revoked });
            }
        }
        Ok(())
    }

    /// Amber first, with a warning; beyond the site's grace somebody has to give a reason. What was accepted before is not
    /// asked for again.
    fn check_age(
        &self,
        header: &VerifiedHeader,
        terms: &Terms,
        known: &Known<'_>,
    ) -> Result<Option<Exception>, ImportError> {
        let (now, since) = (known.time.now(), header.manifest().soft_expiry);
        if !header.is_stale(now) {
            return Ok(None);
        }
        let until = since.saturating_add(self.site.stale_grace()).unwrap_or(Timestamp::MAX);
        let must_explain = now > until && !header.trust().is_already_accepted();
        if must_explain && terms.accept_stale.is_none() {
            return Err(ImportError::Stale { since, until });
        }
        Ok(Some(Exception::Stale { since, reason: terms.accept_stale.clone() }))
    }
}

fn is_waivable(error: &ImportError) -> bool {
    error.code().is_some_and(|code| [Code::Expired, Code::Stale, Code::Gap, Code::Audience].contains(&code))
}

fn is_about_time(error: &ImportError) -> bool {
    error.code().is_some_and(|code| [Code::Expired, Code::Stale].contains(&code))
}

fn notices(header: &VerifiedHeader, known: &Known<'_>) -> Vec<Notice> {
    let now = known.time.now();
    let clock = known.time.clock();
    let behind = known.time.behind().map(|floor| Notice::ClockBehind { clock, floor });
    let ahead = known.time.far_ahead().map(|floor| Notice::ClockAhead { clock, floor });
    let stale = header.is_stale(now).then(|| Notice::Stale { since: header.manifest().soft_expiry });
    let expires = header.trust().root_expires();
    let is_due = now.saturating_add(ROOT_DUE).unwrap_or(Timestamp::MAX) > expires;
    let root = is_due.then_some(Notice::RootDue { expires });
    let list = known.revoked.list_for(known.stream).map(RevocationList::expires);
    let list = list.filter(|expires| now >= *expires).map(|expires| Notice::RevocationsExpired { expires });
    [behind, ahead, stale, root, known.list.clone(), list].into_iter().flatten().collect()
}
