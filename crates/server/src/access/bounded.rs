//! A map that never grows beyond its size: the oldest entry makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Remembers what was found out, for a while; shared between threads.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    inner: Mutex<Inner<K, V>>,
    most: usize,
}

#[derive(Debug)]
struct Inner<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    /// A map of at most `most` entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Mutex::new(Inner { entries: HashMap::new(), order: VecDeque::new() }), most }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).entries.get(key).cloned()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.entries.insert(key.clone(), value).is_some() {
            return;
        }
        inner.order.push_back(key);
        while inner.order.len() > self.most {
            if let Some(oldest) = inner.order.pop_front() {
                inner.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room() {
        let map = Bounded::new(2);
        for number in 0..3 {
            map.insert(number, number);
        }
        map.insert(1, 10);
        assert_eq!([map.get(&0), map.get(&1), map.get(&2)], [None, Some(10), Some(2)]);
        assert_eq!(map.inner.lock().unwrap().order.len(), 2);
    }
}
