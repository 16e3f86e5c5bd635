//! A map with a bound on its entries, each of which is forgotten at a time: verified tokens, refused tokens, unknown
//! key ids, signatures that were seen.
//!
//! ```text
//!        put ─▶ young   half of the entries
//!                 │ full: old is forgotten, young becomes old
//!                 ▼
//! get ─▶ young, old
//! ```
//! Two generations: an entry is forgotten at its time, or once more than half of the bound came after it. Nothing is
//! swept, and a flood of entries costs a bounded memory and a constant time each.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// The map. Times are numbers of any one unit.
#[derive(Debug)]
pub struct Bounded<K, V, S = RandomState> {
    young: HashMap<K, (V, u64), S>,
    old: HashMap<K, (V, u64), S>,
    generation_max: usize,
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// A map of at most `entries_max` entries, at least two.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (entries_max / 2).max(1) }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> Bounded<K, V, S> {
    /// The value of a key, unless its time has come.
    #[must_use]
    pub fn get(&self, key: &K, now: u64) -> Option<&V> {
        let (value, until) = self.young.get(key).or_else(|| self.old.get(key))?;
        (now < *until).then_some(value)
    }

    /// Keeps a value until a time. Returns whether an entry was forgotten for it before its time.
    pub fn put(&mut self, key: K, value: V, until: u64, now: u64) -> bool {
        let mut forgot = false;
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            forgot = self.old.values().any(|(_, until)| now < *until);
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, (value, until));
        forgot
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Entries, with those whose time has come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_at_their_time_and_their_number_is_bounded() {
        let mut map = Bounded::new(10);
        assert!(!map.put(1, 'a', 100, 0));
        assert_eq!((map.get(&1, 99), map.get(&1, 100)), (Some(&'a'), None));
        for key in 2..1_000 {
            map.put(key, 'b', 100, 0);
            assert!(map.len() <= 10);
            assert_eq!(map.get(&key, 0), Some(&'b'), "the newest is there");
            assert!(key < 6 || map.get(&(key - 4), 0).is_some(), "and half of the bound before it");
        }
        assert_eq!(map.get(&1, 0), None);
        map.put(999, 'c', 200, 0);
        assert_eq!(map.get(&999, 150), Some(&'c'), "a later value wins");
    }

    #[test]
    fn an_entry_that_is_forgotten_before_its_time_is_told() {
        let mut map = Bounded::new(4);
        let told: Vec<bool> = (0..6).map(|key| map.put(key, (), 10, 0)).collect();
        assert_eq!(told, [false, false, false, false, true, false]);
        let mut map = Bounded::new(4);
        let told: Vec<bool> = (0..6).map(|key| map.put(key, (), 10, 20)).collect();
        assert_eq!(told, [false; 6], "their time had come");
    }
}
