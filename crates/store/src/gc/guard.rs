//! The protocol among threads: one lock for the digests of each stripe.
//!
//! To look whether a blob is there and to promise it is one step under the lock of its stripe; to look whether it may go and to
//! remove it is another. So no reply promises what is being removed, and nothing is removed that a reply has just promised.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use sealock_trust::Digest;

use super::protocol::{Condemned, Protocol, Terms, Tick};
use super::sync::{Mutex, MutexGuard};

/// So many digests can be looked at at the same time.
const STRIPES: usize = 64;

/// A run of the collector at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) epoch: u64,
    pub(crate) now: Tick,
    /// For how long a blob stays condemned, in seconds.
    pub(crate) grace: Tick,
}

/// Leases, pins and condemnations of one store, in one process.
#[derive(Debug)]
pub struct Guard {
    terms: Terms,
    /// Of the run that was begun last.
    epoch: AtomicU64,
    stripes: Vec<Mutex<Protocol<Digest>>>,
}

impl Guard {
    /// Of a process that begins at `started`, and knows of no promise from before.
    pub fn new(terms: Terms, started: Tick) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(Protocol::new(started))).collect();
        Self { terms, epoch: AtomicU64::new(0), stripes }
    }

    /// How long promises hold, and how long the condemned wait.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Looks for the blob `digest`, and promises it where `look` finds it: what a 200 to a HEAD, a mount and the end of an
    /// upload do before they answer. An upload moves its blob into place in `look`.
    pub fn promise<T>(&self, digest: &Digest, now: Tick, look: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut stripe = self.stripe(digest);
        let found = look()?;
        stripe.promise(digest, now, self.terms);
        Some(found)
    }

    /// Puts the blob `digest` into its place, or looks for it, and promises it where `act` says that it is there. Where `act`
    /// fails nothing is promised.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn promise_found<T, E>(
        &self,
        digest: &Digest,
        now: Tick,
        act: impl FnOnce() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let mut stripe = self.stripe(digest);
        let found = act()?;
        if found.is_some() {
            stripe.promise(digest, now, self.terms);
        }
        Ok(found)
    }

    /// Looks for the blob `digest`, and keeps it where `look` finds it, until the pin is dropped: what a manifest's upload
    /// does with each child before it is recorded.
    pub fn pin<T>(&self, digest: &Digest, look: impl FnOnce() -> Option<T>) -> Option<(T, Pin<'_>)> {
        let mut stripe = self.stripe(digest);
        let found = look()?;
        stripe.pin(digest);
        Some((found, Pin { guard: self, digest: Some(digest.clone()) }))
    }

    /// Does something that nobody may rely on the blob for, unless somebody was promised it; nobody can be meanwhile.
    pub fn unless_promised<T>(&self, digest: &Digest, now: Tick, act: impl FnOnce() -> T) -> Option<T> {
        let stripe = self.stripe(digest);
        let is_free = stripe.knows_all(now, self.terms) && !stripe.is_promised(digest, now);
        is_free.then(act)
    }

    /// Gives a pin back, at `now`.
    pub fn unpin(&self, mut pin: Pin<'_>, now: Tick) {
        if let Some(digest) = pin.digest.take() {
            self.stripe(&digest).unpin(&digest, now, self.terms);
        }
    }

    /// Begins a run. Its mark is to begin after this.
    pub(crate) fn begin(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The mark of the run `epoch` found no way to the blob: returns whether it is condemned now.
    pub(crate) fn condemn(&self, digest: &Digest, epoch: u64, now: Tick) -> bool {
        self.stripe(digest).condemn(digest, epoch, now)
    }

    /// A mark found a way to each blob for which `is_reachable` says so.
    pub(crate) fn pardon(&self, is_reachable: impl Fn(&Digest) -> bool, now: Tick) {
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.tidy(now);
            let pardoned: Vec<_> = stripe.all_condemned().map(|(blob, _)| blob.clone()).filter(&is_reachable).collect();
            pardoned.iter().for_each(|blob| stripe.pardon(blob));
        }
    }

    /// Whether `run` could delete the blob at this moment.
    pub(crate) fn may_delete(&self, digest: &Digest, run: Run) -> bool {
        self.stripe(digest).may_delete(digest, run.epoch, run.now, self.terms_of(run))
    }

    /// Removes the blob by `unlink`, if it may go: nobody can be promised it meanwhile. Returns whether it went.
    ///
    /// # Errors
    /// Those of `unlink`: the blob stays condemned.
    pub(crate) fn delete<E>(
        &self,
        digest: &Digest,
        run: Run,
        unlink: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut stripe = self.stripe(digest);
        if !stripe.may_delete(digest, run.epoch, run.now, self.terms_of(run)) {
            return Ok(false);
        }
        unlink()?;
        stripe.forget(digest);
        Ok(true)
    }

    /// Does something to the blob that nobody must be promised meanwhile.
    pub(crate) fn alone<T>(&self, digest: &Digest, act: impl FnOnce() -> T) -> T {
        let _stripe = self.stripe(digest);
        act()
    }

    /// When the blob was condemned, if it is.
    pub(crate) fn condemned(&self, digest: &Digest) -> Option<Condemned> {
        self.stripe(digest).condemned(digest)
    }

    /// Whether somebody was promised the blob.
    pub fn is_promised(&self, digest: &Digest, now: Tick) -> bool {
        self.stripe(digest).is_promised(digest, now)
    }

    /// Every blob that is condemned, in no order.
    pub(crate) fn all_condemned(&self) -> Vec<(Digest, Condemned)> {
        let of = |stripe: &Mutex<Protocol<Digest>>| -> Vec<_> {
            let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.all_condemned().map(|(digest, condemned)| (digest.clone(), condemned)).collect()
        };
        self.stripes.iter().flat_map(of).collect()
    }

    /// The blob was condemned at `since`, by a process that has ended.
    pub(crate) fn recall(&self, digest: &Digest, since: Tick) {
        let condemned = Condemned { epoch: 0, since };
        self.stripe(digest).recall(digest.clone(), condemned);
    }

    fn terms_of(&self, run: Run) -> Terms {
        Terms { grace: run.grace, ..self.terms }
    }

    fn stripe(&self, digest: &Digest) -> MutexGuard<'_, Protocol<Digest>> {
        let first = digest.hex().as_bytes().iter().take(4).fold(0_usize, |sum, byte| sum * 31 + usize::from(*byte));
        self.stripes[first % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps a blob while something that relies on it is being recorded.
#[derive(Debug)]
#[must_use = "dropped at once, it keeps nothing"]
pub struct Pin<'a> {
    guard: &'a Guard,
    /// None once it was given back.
    digest: Option<Digest>,
}

impl Drop for Pin<'_> {
    /// Where nothing was recorded there is nothing that a later mark could miss: no promise is needed from now on.
    fn drop(&mut self) {
        if let Some(digest) = self.digest.take() {
            self.guard.stripe(&digest).unpin(&digest, 0, Terms { lease: 0, grace: 0 });
        }
    }
}
