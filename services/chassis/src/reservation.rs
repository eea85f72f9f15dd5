//! One call at a time for a key. A second one is told at once, it does not queue: the caller will come back.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The keys that are taken.
#[derive(Debug)]
pub struct Reservations<K: Eq + Hash>(Arc<Mutex<HashSet<K>>>);

impl<K: Eq + Hash> Clone for Reservations<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash> Default for Reservations<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Reservations<K> {
    /// None taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `key` until the reservation is dropped; `None` when somebody has it.
    pub fn take(&self, key: K) -> Option<Reservation<K>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        taken.then(|| Reservation { all: self.clone(), key })
    }
}

/// A taken key; dropping it frees the key.
#[derive(Debug)]
pub struct Reservation<K: Eq + Hash> {
    all: Reservations<K>,
    key: K,
}

impl<K: Eq + Hash> Drop for Reservation<K> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_by_one_until_it_is_dropped() {
        let all = Reservations::new();
        let first = all.take("a").expect("free");
        assert!(all.take("a").is_none());
        assert!(all.take("b").is_some(), "another key is not concerned");
        drop(first);
        assert!(all.take("a").is_some());
    }

    #[test]
    fn a_panic_frees_the_key() {
        let all = Reservations::new();
        let inner = all.clone();
        let panicked = std::thread::spawn(move || {
            let _held = inner.take(1).expect("free");
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(all.take(1).is_some());
    }
}
