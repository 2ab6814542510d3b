//! Leases: what a reply promised to be there, for a while (docs/decisions/0018-pushed-content.md).
//!
//! They live in memory only, under one lock per stripe of digests. What puts a blob in its place, and what takes one away,
//! does so holding the stripe.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealock_trust::Digest;

const STRIPES: usize = 64;

/// Until when each blob was promised.
#[derive(Debug)]
pub struct Leases {
    stripes: Vec<Mutex<Promises>>,
    hasher: RandomState,
    /// How long a promise holds.
    term: Duration,
}

/// What one stripe promises.
#[derive(Debug, Default)]
struct Promises {
    until: HashMap<Digest, Instant>,
    /// With so many, those that ended are looked for.
    tidy_at: usize,
}

/// One stripe, held.
#[derive(Debug)]
pub struct Stripe<'a> {
    promises: MutexGuard<'a, Promises>,
    term: Duration,
}

impl Leases {
    pub(crate) fn new(term: Duration) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { stripes, hasher: RandomState::new(), term }
    }

    /// Holds the stripe of `digest`: nobody else puts a blob of that digest in its place, or takes it away, meanwhile.
    pub fn stripe(&self, digest: &Digest) -> Stripe<'_> {
        let number = usize::try_from(self.hasher.hash_one(digest) % STRIPES as u64).unwrap_or_default();
        let promises = self.stripes[number].lock().unwrap_or_else(PoisonError::into_inner);
        Stripe { promises, term: self.term }
    }

    /// Promises each of `digests` for a whole term from `now` on.
    pub fn touch<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>, now: Instant) {
        for digest in digests {
            self.stripe(digest).renew(digest, now);
        }
    }
}

impl Stripe<'_> {
    /// Promises `digest` for a whole term from `now` on.
    pub fn renew(&mut self, digest: &Digest, now: Instant) {
        let until = now + self.term;
        let promises = &mut *self.promises;
        if promises.until.len() >= promises.tidy_at {
            promises.until.retain(|_, until| *until > now);
            promises.tidy_at = (2 * promises.until.len()).max(64);
        }
        promises.until.insert(digest.clone(), until);
    }

    /// Whether `digest` is promised at `now`.
    pub fn is_promised(&self, digest: &Digest, now: Instant) -> bool {
        self.promises.until.get(digest).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_holds_for_its_term_and_is_renewed() {
        let leases = Leases::new(Duration::from_secs(60));
        let (digest, other) = (Digest::sha256(b"x"), Digest::sha256(b"y"));
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        leases.touch([&digest], start);
        assert!(leases.stripe(&digest).is_promised(&digest, later(59)));
        assert!(!leases.stripe(&digest).is_promised(&digest, later(60)));
        assert!(!leases.stripe(&other).is_promised(&other, start));
        leases.touch([&digest], later(59));
        assert!(leases.stripe(&digest).is_promised(&digest, later(118)));
    }
}
