//! Imports a bundle: from a file that nobody believes yet, to a release that the site serves.
//!
//! Cut off anywhere, the site serves either the old release or the new one, and the same call finishes the work. What
//! is refused leaves the store as it was.

mod error;
mod gate;
mod in_place;
pub(crate) mod layer;
mod list;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_store::lent::Offer;
use sealock_store::release::{Published, Reference, Release, Selection};
use sealock_store::{Staging, Store, StoreLock};
use sealock_trust::directory::TrustedRoot;
use sealock_trust::receipt::{Receipt, Verdict};
use sealock_trust::tuf::walk_roots;
use sealock_trust::{Digest, Justification, SiteKeys, StreamName, TrustDirectory};

use crate::archive::Archive;
use crate::delta::{self, Inside};
use crate::verify::{self, VerifiedHeader};

pub use error::ImportError;
pub use gate::{Gate, Judged, Notice};
use in_place::Lending;
pub use in_place::check_in_place;
use sink::Staged;

/// Manifests that a receipt names at most, the newest ones: it has to stay a document that can be read. To name fewer
/// than are held is safe.
const MAX_HELD: usize = 1000;

/// The part of a station that importing needs.
#[derive(Clone, Copy, Debug)]
pub struct Station<'a> {
    /// Where blobs and releases are kept.
    pub store: &'a Store,
    /// Whom the site trusts, and what it has accepted.
    pub trust: &'a TrustDirectory,
    /// Who the site is, and its key for receipts and releases.
    pub site: &'a SiteKeys,
}

impl<'a> Station<'a> {
    fn inside(self) -> Inside<'a> {
        Inside { store: self.store, trust: self.trust, site: self.site.root() }
    }
}

/// What one import is told.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The time.
    pub now: Timestamp,
    /// Sequences that a person said may be missing.
    pub accept_gap: Option<RangeInclusive<u64>>,
    /// Why a person takes a bundle that is older than the site lets pass without a word.
    pub accept_stale: Option<Justification>,
    /// Whether a person said that the clock is right, however far it is ahead of what others have signed.
    pub confirm_clock: bool,
    /// The token with which two people let this one bundle in.
    pub break_glass: Option<Vec<u8>>,
    /// Whether the store is to take the bundle in as it is, and serve from it until its blobs are migrated.
    pub in_place: bool,
}

impl Terms {
    /// At the time `now`, with nothing out of the ordinary.
    pub fn at(now: Timestamp) -> Self {
        Self { now, accept_gap: None, accept_stale: None, confirm_clock: false, break_glass: None, in_place: false }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the payload that are read, checked and kept.
    pub done: u64,
    /// Bytes of the payload.
    pub total: u64,
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The bundle is in the release that is served now.
    Published(Imported),
    /// It was imported before; nothing has changed.
    Already(Imported),
}

/// A bundle and the release that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The number of the release.
    pub release: u64,
    /// The stream of the bundle.
    pub stream: StreamName,
    /// Its sequence.
    pub sequence: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether its soft expiry has passed.
    pub stale: bool,
    /// Bytes of blobs that were written.
    pub written: u64,
    /// Bytes of blobs that the bundle lends, which the store has taken in.
    pub lent: u64,
    /// Where the bundle still has the name that it was given by, though the store has taken it in; nowhere but after trouble.
    pub left_at: Option<PathBuf>,
    /// The signed receipt, byte for byte; of the newest bundle of the stream where this one came before.
    pub receipt: Vec<u8>,
    /// What somebody should know.
    pub notices: Vec<Notice>,
}

/// Imports the bundle `path`.
///
/// # Errors
/// A refusal with its reason code: the store is as it was. An environment error: what was read is kept in staging, and
/// the same call goes on from there.
pub fn import(
    path: &Path,
    station: Station<'_>,
    terms: &Terms,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportOutcome, ImportError> {
    import_archive(Archive::open(path).map_err(verify::VerifyError::from)?, station, terms, progress)
}

/// Imports `archive`, a file or volumes that are read where they lie.
///
/// # Errors
/// As [`import`].
pub fn import_archive(
    archive: Archive,
    station: Station<'_>,
    terms: &Terms,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportOutcome, ImportError> {
    station.gate().check_generation()?;
    let claim = list::keep(&archive, station, Claim::of(&archive, station), terms.now)?;
    let judged = station.gate().judge(archive, &claim.stream, &claim.root, terms)?;
    let offer = terms.in_place.then(|| in_place::offer(&judged.header, station.store)).transpose()?;
    let lock = station.store.lock()?;
    let import = Import {
        station,
        lock: &lock,
        judged: &judged,
        header: &judged.header,
        claim: &claim,
        now: terms.now,
        offer: offer.as_ref(),
    };
    match import.earlier_release()? {
        Some(release) => {
            // Where it was cut off between its publishing and its end.
            lock.release_hold(judged.header.digest())?;
            Ok(ImportOutcome::Already(import.imported(release, Brought::default())?))
        }
        None => {
            import.check_not_held()?;
            import.run(progress)
        }
    }
}

impl<'a> Station<'a> {
    /// What a bundle is held against here.
    pub fn gate(&self) -> Gate<'a> {
        Gate { store: self.store, trust: self.trust, site: self.site.root() }
    }
}

/// What a bundle says about itself, unverified: enough to choose the root that it is verified under.
struct Claim {
    stream: StreamName,
    root: TrustedRoot,
}

impl Claim {
    fn of(archive: &Archive, station: Station<'_>) -> Result<Self, ImportError> {
        let trust = station.trust;
        let set = verify::metadata(archive)?;
        let manifest = archive.unverified_manifest().map_err(verify::VerifyError::from)?;
        let stream = manifest.stream;
        let root = trust.root_for(&stream)?;
        // A newer root that is valid by itself is kept even if the bundle is refused.
        let walk = walk_roots(&root.bytes, &set).map_err(verify::VerifyError::from)?;
        trust.keep_roots(&root, &walk, Some(station.site))?;
        Ok(Self { root: trust.root_for(&stream)?, stream })
    }
}

struct Import<'a> {
    station: Station<'a>,
    lock: &'a StoreLock,
    judged: &'a Judged,
    header: &'a VerifiedHeader,
    claim: &'a Claim,
    now: Timestamp,
    /// The bundle, where the store is to take it in.
    offer: Option<&'a Offer>,
}

/// Bytes of blobs that were new.
#[derive(Clone, Copy, Default)]
struct Brought {
    written: u64,
    lent: u64,
}

impl Import<'_> {
    /// The live release that has the bundle already. An import that was cut off between acceptance and publishing has none, and
    /// neither has a bundle whose releases were retired: its content may be gone.
    fn earlier_release(&self) -> Result<Option<u64>, ImportError> {
        if !self.header.trust().is_already_accepted() {
            return Ok(None);
        }
        let releases = self.station.store.live_releases(self.station.site.key_set())?;
        let first = releases.iter().rev().find(|published| published.release.selects(self.header.digest()));
        Ok(first.map(|published| published.release.number))
    }

    /// Newer bundles of a stream that was rolled back stay out until somebody lets them in again.
    fn check_not_held(&self) -> Result<(), ImportError> {
        let current = self.station.store.current_release(self.station.site.key_set())?;
        let stream = self.claim.stream.as_str();
        match current.as_ref().and_then(|current| current.release.selection(stream)) {
            Some(selection) if selection.held => {
                Err(ImportError::Held { stream: self.claim.stream.clone(), sequence: selection.sequence })
            }
            _ => Ok(()),
        }
    }

    fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<ImportOutcome, ImportError> {
        let outcome = self.accept(progress);
        if outcome.as_ref().is_err_and(ImportError::is_refusal) {
            self.give_up();
        }
        outcome
    }

    fn accept(&self, progress: &mut dyn FnMut(Progress)) -> Result<ImportOutcome, ImportError> {
        let (staging, brought) = match self.offer {
            Some(offer) => self.stage_in_place(offer, progress)?,
            None => self.stage(progress)?,
        };
        let current = self.station.store.current_release(self.station.site.key_set())?;
        let release = self.next_release(current.as_ref())?;
        let held = self.held()?;
        let accepted = self.station.trust.accept(
            &self.claim.stream,
            (self.header.trust(), self.judged.token.as_ref()),
            Some(self.station.site),
            |generation| self.receipt(held, generation),
        )?;
        let release = release.with_trust(accepted.generation, self.judged.exceptions.clone());
        let published = self.lock.publish(release, Some(staging), self.station.site.signer())?;
        Ok(ImportOutcome::Published(self.imported(published.release.number, brought)?))
    }

    /// Brings every blob into staging, each written and hashed once.
    fn stage(&self, progress: &mut dyn FnMut(Progress)) -> Result<(Staging, Brought), ImportError> {
        let manifest = self.header.digest();
        self.hold()?;
        delta::check_base(self.header, self.station.inside(), &self.claim.root)?;
        let mut staged = Staged::new(self.station.store, self.lock.staging(manifest)?);
        if let Err(error) = staged.check_room(self.header.manifest().entries()) {
            // What an earlier import has left is worth more than the room; an empty staging folder is not.
            if !staged.is_resumed() {
                drop(staged);
                self.give_up();
            }
            return Err(error);
        }
        let total = self.header.payload_size();
        let streamed = self.header.stream(&mut staged, &mut |done| progress(Progress { done, total }));
        streamed.map_err(|error| self.wanted(error))?;
        // The next delta is checked against what this manifest lists.
        staged.keep_manifest(manifest, self.header.manifest_bytes())?;
        let brought = Brought { written: staged.written(), lent: 0 };
        Ok((staged.into_staging(), brought))
    }

    /// Hashes every blob where it stands, and has the store lend it from there.
    fn stage_in_place(
        &self,
        offer: &Offer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Staging, Brought), ImportError> {
        self.hold()?;
        let mut staging = self.lock.staging(self.header.digest())?;
        if let Err(error) = staging.adopt(offer) {
            drop(staging);
            self.give_up();
            return Err(error.into());
        }
        let mut lending = Lending::new(staging);
        let total = self.header.payload_size();
        self.header.stream(&mut lending, &mut |done| progress(Progress { done, total }))?;
        let (staging, lent) = lending.into_parts();
        Ok((staging, Brought { written: 0, lent }))
    }

    /// Before presence is looked up: what is found then stays.
    fn hold(&self) -> Result<(), ImportError> {
        let manifest = self.header.digest();
        let blobs = &self.header.manifest().blobs;
        let bases = self.header.manifest().patched().map(|(_, patch)| &patch.base);
        let digests = blobs.iter().map(|blob| &blob.digest).chain(bases).chain([manifest]);
        let digests: Vec<Digest> = digests.cloned().collect();
        Ok(self.lock.hold(manifest, &digests)?)
    }

    /// A base that has rotted is wanted as one that is missing is: what was to be made of it comes whole next time.
    fn wanted(&self, error: ImportError) -> ImportError {
        let ImportError::BaseDamaged { blob, .. } = &error else { return error };
        delta::wanted_whole(self.header, self.station.inside(), blob)
            .map_or_else(Into::into, |missing| missing.map_or(error, Into::into))
    }

    fn next_release(&self, current: Option<&Published>) -> Result<Release, ImportError> {
        let manifest = self.header.manifest();
        let stream = self.claim.stream.to_string();
        let selection = Selection {
            stream: stream.clone(),
            sequence: manifest.sequence,
            manifest: self.header.digest().clone(),
            held: false,
            publisher: Some(self.claim.root.enrolment.fingerprint.clone()),
        };
        Ok(Release::after(current, selection, references(self.header, &stream), self.now)?)
    }

    /// This bundle, and what live releases hold of the same publisher, sorted.
    fn held(&self) -> Result<Vec<Digest>, ImportError> {
        let releases = self.station.store.live_releases(self.station.site.key_set())?;
        let earlier = delta::manifests_held(self.station.trust, &self.claim.root, &releases);
        let held = std::iter::once(self.header.digest().clone()).chain(earlier).take(MAX_HELD);
        let held: BTreeSet<Digest> = held.collect();
        Ok(held.into_iter().collect())
    }

    /// The site's word that it accepted the bundle.
    fn receipt(&self, held: Vec<Digest>, generation: u64) -> Result<Vec<u8>, ImportError> {
        let receipt = Receipt {
            manifest: self.header.digest().clone(),
            site: self.station.site.id().clone(),
            stream: self.claim.stream.clone(),
            sequence: self.header.manifest().sequence,
            verdict: Verdict::Accepted,
            code: None,
            held,
            issued: self.now,
            generation: Some(generation),
            exceptions: self.judged.exceptions.clone(),
        };
        Ok(receipt.sign(self.station.site.signer())?)
    }

    /// Leaves nothing of a refused bundle in the store. Failing at that changes nothing about the refusal.
    fn give_up(&self) {
        let manifest = self.header.digest();
        let discarded = self.lock.staging(manifest).and_then(Staging::discard);
        if let Err(error) = discarded.and_then(|()| self.lock.release_hold(manifest)) {
            tracing::warn!(%manifest, %error, "what was read of a refused bundle stays in staging");
        }
    }

    /// The bundle is the store's from here on, and has no other name. That it keeps one harms nobody: it is told.
    fn take_over(&self) -> Option<PathBuf> {
        let given_up = self.offer?.give_up(self.station.store, self.header.digest());
        let error = given_up.err()?;
        tracing::warn!(%error, "the bundle keeps the name that it was given by");
        Some(self.header.archive().path().to_owned())
    }

    fn imported(&self, release: u64, Brought { written, lent }: Brought) -> Result<Imported, ImportError> {
        let left_at = self.take_over();
        let accepted = self.station.trust.accepted(&self.claim.stream)?;
        Ok(Imported {
            release,
            stream: self.claim.stream.clone(),
            sequence: self.header.manifest().sequence,
            manifest: self.header.digest().clone(),
            stale: self.header.is_stale(self.now),
            written,
            lent,
            left_at,
            receipt: accepted.map(|accepted| accepted.receipt).unwrap_or_default(),
            notices: self.judged.notices.clone(),
        })
    }
}

fn references(header: &VerifiedHeader, stream: &str) -> Vec<Reference> {
    let manifest = header.manifest();
    let sizes: BTreeMap<&Digest, u64> = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    let reference = |reference: &crate::manifest::Reference| Reference {
        name: reference.name.to_string(),
        kind: reference.kind,
        digest: reference.digest.clone(),
        media_type: reference.media_type.clone(),
        subject: reference.subject.clone(),
        size: sizes.get(&reference.digest).copied().unwrap_or_default(),
        stream: stream.to_owned(),
        vendor: header.vendor_of(reference.name.as_str()).cloned(),
    };
    manifest.references.iter().map(reference).collect()
}
