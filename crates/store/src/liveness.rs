//! Which releases are live: whatever they select stays in the store.
//!
//! A release is live from its publishing until it is retired, which is a record in the operation log. The site's retention is
//! the rule by which the garbage collector retires; a pin keeps a release from it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealock_trust::KeySet;

use crate::closure::Reader;
use crate::error::StoreError;
use crate::lock::StoreLock;
use crate::operations::Operation;
use crate::release::{Published, Release, Selection};
use crate::store::Store;

/// What the operation log says of releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The releases that are live no more.
    pub retired: BTreeSet<u64>,
    /// The releases that retention does not reach.
    pub pinned: BTreeSet<u64>,
}

/// Who was made from which release: the clusters and applications, by the number of the release.
pub type Bound = BTreeMap<u64, BTreeSet<String>>;

impl Standing {
    fn hear(&mut self, operation: &Operation) {
        match operation {
            Operation::Retire { release } => {
                self.retired.insert(*release);
                self.pinned.remove(release);
            }
            Operation::Pin { release } => {
                self.pinned.insert(*release);
            }
            Operation::Unpin { release } => {
                self.pinned.remove(release);
            }
            _ => {}
        }
    }

    /// Whether the release is live, if it was published.
    pub fn is_live(&self, release: u64) -> bool {
        !self.retired.contains(&release)
    }

    /// The live releases that a retention of `retain` releases beside the current one lets go; `current` is the number of that
    /// one. Pinned ones stay, and those that something was made from.
    pub fn leaving(&self, current: u64, retain: u64, bound: &Bound) -> Vec<u64> {
        let behind = (1..current).rev().filter(|number| self.is_live(*number));
        let beyond = behind.skip(usize::try_from(retain).unwrap_or(usize::MAX));
        beyond.filter(|number| !self.pinned.contains(number) && !bound.contains_key(number)).collect()
    }
}

impl Store {
    /// What the operation log says of releases.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`], [`StoreError::Io`].
    pub fn standing(&self) -> Result<Standing, StoreError> {
        let mut standing = Standing::default();
        self.each_operation(|record| standing.hear(&record.operation))?;
        Ok(standing)
    }

    /// The releases that are live, newest first: whatever they select stays in the store.
    ///
    /// # Errors
    /// As [`Store::current_release`], and [`StoreError::DamagedLog`].
    pub fn live_releases(&self, keys: &KeySet) -> Result<Vec<Published>, StoreError> {
        let standing = self.standing()?;
        let newest = self.current_number()?.unwrap_or(0);
        let live = (1..=newest).rev().filter(|number| standing.is_live(*number));
        live.map(|number| self.release(number, keys)).collect()
    }
}

impl Store {
    /// Checks that everything that hangs on the references of `release` is in the store, so that it could be served. Contents
    /// are not hashed, but those of manifests.
    ///
    /// # Errors
    /// [`StoreError::NotWhole`].
    pub fn check_whole(&self, release: &Release) -> Result<(), StoreError> {
        let mut reader = Reader::new(self);
        for reference in &release.references {
            reader.closure(&reference.digest, &reference.media_type).map_err(|source| StoreError::NotWhole {
                release: release.number,
                name: reference.name.clone(),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// The newest bundle of `stream` that a live release selects, and that release.
    ///
    /// # Errors
    /// As [`Store::live_releases`].
    pub fn newest_of_stream(&self, stream: &str, keys: &KeySet) -> Result<Option<(Published, Selection)>, StoreError> {
        let live = self.live_releases(keys)?.into_iter();
        let selected = live.filter_map(|published| {
            let selection = published.release.selection(stream)?.clone();
            Some((published, selection))
        });
        // Of several releases with the same bundle the newest.
        Ok(selected.max_by_key(|(published, selection)| (selection.sequence, published.release.number)))
    }
}

impl StoreLock {
    /// Retires the release `number`: what only it keeps becomes garbage. Durable when it returns; once more changes nothing.
    ///
    /// # Errors
    /// [`StoreError::RetiresCurrent`], [`StoreError::NoSuchRelease`]; those of the log.
    pub fn retire(&self, number: u64, at: Timestamp) -> Result<(), StoreError> {
        let newest = self.check_published(number)?;
        if number == newest {
            return Err(StoreError::RetiresCurrent { number });
        }
        if self.store.standing()?.is_live(number) {
            self.record(at, Operation::Retire { release: number })?;
        }
        Ok(())
    }

    /// Keeps the release `number` from retention, or no more. Durable when it returns; once more changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRelease`], [`StoreError::Retired`]; those of the log.
    pub fn pin(&self, number: u64, pinned: bool, at: Timestamp) -> Result<(), StoreError> {
        self.check_published(number)?;
        let standing = self.store.standing()?;
        if !standing.is_live(number) {
            return Err(StoreError::Retired { number });
        }
        if standing.pinned.contains(&number) == pinned {
            return Ok(());
        }
        let operation = if pinned { Operation::Pin { release: number } } else { Operation::Unpin { release: number } };
        self.record(at, operation)
    }

    /// The number of the current release, where `number` is not beyond it.
    fn check_published(&self, number: u64) -> Result<u64, StoreError> {
        let newest = self.store.current_number()?.unwrap_or(0);
        if number == 0 || number > newest {
            return Err(StoreError::NoSuchRelease { number, newest });
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(log: impl IntoIterator<Item = Operation>) -> Standing {
        let mut standing = Standing::default();
        log.into_iter().for_each(|operation| standing.hear(&operation));
        standing
    }

    #[test]
    fn retention_keeps_the_newest_the_pinned_and_what_something_was_made_from() {
        let log = [Operation::Retire { release: 2 }, Operation::Pin { release: 3 }];
        let standing = standing(log);
        let bound = Bound::from([(4, ["plant-7".to_owned()].into())]);
        assert_eq!(standing.leaving(8, 2, &bound), [5, 1]);
        assert_eq!(standing.leaving(8, 0, &Bound::new()), [7, 6, 5, 4, 1]);
        assert_eq!(standing.leaving(1, 0, &bound), [] as [u64; 0]);
        assert_eq!(standing.leaving(8, u64::MAX, &bound), [] as [u64; 0]);
    }

    #[test]
    fn a_release_that_was_retired_is_pinned_no_more() {
        let log = [Operation::Pin { release: 1 }, Operation::Pin { release: 2 }, Operation::Unpin { release: 2 }];
        assert_eq!(standing(log.clone()).pinned, [1].into());
        let retired = log.into_iter().chain([Operation::Retire { release: 1 }]);
        assert_eq!(standing(retired), Standing { retired: [1].into(), pinned: [].into() });
    }
}
