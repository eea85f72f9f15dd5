//! A bounded memory of recent things: the oldest is forgotten when it is full, and everything after a while.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Keeps at most `limit` values, each for at most `keep`.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    values: HashMap<K, (V, Instant)>,
    order: VecDeque<(K, Instant)>,
    limit: usize,
    keep: Duration,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    pub(crate) fn new(limit: usize, keep: Duration) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), limit, keep }
    }

    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        let (value, at) = self.values.get(key)?;
        (now.saturating_duration_since(*at) < self.keep).then_some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) {
        self.forget_old(now);
        self.values.insert(key.clone(), (value, now));
        self.order.push_back((key, now));
    }

    pub(crate) fn remove(&mut self, key: &K) {
        // Its entry in `order` goes when its turn comes.
        self.values.remove(key);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((key, at)) = self.order.front() {
            let old = now.saturating_duration_since(*at) >= self.keep;
            if !old && self.order.len() < self.limit {
                return;
            }
            // A key that was inserted again since is younger than this entry of it.
            if self.values.get(key).is_some_and(|(_, latest)| latest == at) {
                self.values.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_limit_and_forgets_the_oldest_first() {
        let now = Instant::now();
        let mut recent = Recent::new(3, Duration::from_secs(60));
        for key in 0..100 {
            recent.insert(key, (), now);
        }
        assert!(recent.values.len() <= 3 && recent.order.len() <= 3);
        assert!(recent.get(&99, now).is_some() && recent.get(&0, now).is_none());
    }

    #[test]
    fn what_is_older_than_the_time_to_keep_is_not_there() {
        let now = Instant::now();
        let mut recent = Recent::new(3, Duration::from_secs(60));
        recent.insert("a", 1, now);
        assert_eq!(recent.get(&"a", now + Duration::from_secs(59)), Some(&1));
        assert_eq!(recent.get(&"a", now + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_key_that_was_inserted_again_survives_the_end_of_its_first_entry() {
        let now = Instant::now();
        let mut recent = Recent::new(10, Duration::from_secs(60));
        recent.insert("a", 1, now);
        recent.insert("a", 2, now + Duration::from_secs(50));
        recent.insert("b", 3, now + Duration::from_secs(70));
        assert_eq!(recent.get(&"a", now + Duration::from_secs(70)), Some(&2));
    }
}
