//! The protocol by which garbage goes, as a pure state machine: live → condemned(epoch) → deleted.
//!
//! Whatever tells a client that a blob is there (200 to a HEAD, a mount, the end of an upload) gives it a lease, and takes
//! back a condemnation. What relies on a blob until a record is durable pins it. A blob may be deleted when a mark found no way
//! to it twice: once to condemn it, and again, in a later epoch, to delete it; and when nobody was promised it meanwhile.
//!
//! Leases and condemnations are nowhere but in memory. So a start knows of no promise that was made before it, and nothing is
//! deleted before the longest of those has ended (docs/decisions/0018-pushed-content.md).

use std::collections::BTreeMap;

/// Seconds on a clock that only runs forward, from any beginning.
pub type Tick = u64;

/// How long promises hold, and how long the condemned wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// For how long a reply promises a blob; in seconds.
    pub lease: Tick,
    /// For how long a blob stays condemned before it may be deleted; in seconds. A backstop, and not the argument.
    pub grace: Tick,
}

/// When a blob was condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condemned {
    /// In which run.
    pub epoch: u64,
    /// When.
    pub since: Tick,
}

/// What is known of the blobs of a store that are not simply live. `K` names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol<K: Ord> {
    /// Since when promises are known.
    started: Tick,
    /// Until when a blob is promised.
    leases: BTreeMap<K, Tick>,
    /// How many rely on a blob at this moment.
    pins: BTreeMap<K, usize>,
    condemned: BTreeMap<K, Condemned>,
}

impl<K: Ord + Clone> Protocol<K> {
    /// Nothing is condemned, and no promise is known from before `started`.
    pub fn new(started: Tick) -> Self {
        Self { started, leases: BTreeMap::new(), pins: BTreeMap::new(), condemned: BTreeMap::new() }
    }

    /// A reply is about to say that `blob` is there. Whoever calls has just seen it, and nobody can have deleted it since.
    pub fn promise(&mut self, blob: &K, now: Tick, terms: Terms) {
        let until = now.saturating_add(terms.lease);
        let lease = self.leases.entry(blob.clone()).or_insert(until);
        *lease = until.max(*lease);
        self.condemned.remove(blob);
    }

    /// Something relies on `blob` until [`Protocol::unpin`], however long that takes.
    pub fn pin(&mut self, blob: &K) {
        *self.pins.entry(blob.clone()).or_insert(0) += 1;
        self.condemned.remove(blob);
    }

    /// What relied on `blob` has been recorded, or given up. A promise stays behind, so that a mark that began before the
    /// record cannot take the blob away.
    pub fn unpin(&mut self, blob: &K, now: Tick, terms: Terms) {
        if let Some(pins) = self.pins.get_mut(blob) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(blob);
            }
        }
        self.promise(blob, now, terms);
    }

    /// A mark of this epoch found no way to `blob`: it is condemned, unless somebody was promised it.
    ///
    /// Returns whether it is condemned now.
    pub fn condemn(&mut self, blob: &K, epoch: u64, now: Tick) -> bool {
        if self.is_promised(blob, now) {
            return false;
        }
        self.condemned.entry(blob.clone()).or_insert(Condemned { epoch, since: now });
        true
    }

    /// A mark found a way to `blob`.
    pub fn pardon(&mut self, blob: &K) {
        self.condemned.remove(blob);
    }

    /// Whether `blob` may be deleted by the run `epoch`, whose mark found no way to it.
    pub fn may_delete(&self, blob: &K, epoch: u64, now: Tick, terms: Terms) -> bool {
        let knows_all = self.knows_all(now, terms);
        let Some(condemned) = self.condemned.get(blob) else { return false };
        let has_waited = now >= condemned.since.saturating_add(terms.grace);
        knows_all && has_waited && condemned.epoch < epoch && !self.is_promised(blob, now)
    }

    /// Whether every promise that holds is known: those from before the start have ended.
    pub fn knows_all(&self, now: Tick, terms: Terms) -> bool {
        now >= self.started.saturating_add(terms.lease)
    }

    /// `blob` was deleted.
    pub fn forget(&mut self, blob: &K) {
        self.condemned.remove(blob);
        self.leases.remove(blob);
    }

    /// When `blob` was condemned, if it is.
    pub fn condemned(&self, blob: &K) -> Option<Condemned> {
        self.condemned.get(blob).copied()
    }

    /// Every blob that is condemned.
    pub fn all_condemned(&self) -> impl Iterator<Item = (&K, Condemned)> {
        self.condemned.iter().map(|(blob, condemned)| (blob, *condemned))
    }

    /// `blob` was condemned earlier, as somebody has written down.
    pub fn recall(&mut self, blob: K, condemned: Condemned) {
        self.condemned.insert(blob, condemned);
    }

    /// Drops the leases that have ended.
    pub fn tidy(&mut self, now: Tick) {
        self.leases.retain(|_, until| *until > now);
    }

    /// Whether a reply's promise holds, or something relies on `blob` at this moment.
    pub fn is_promised(&self, blob: &K, now: Tick) -> bool {
        self.pins.contains_key(blob) || self.leases.get(blob).is_some_and(|until| *until > now)
    }
}
