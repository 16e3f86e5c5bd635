//! A bound on the number of values of a label.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// The value that stands for all values past the cap.
pub const OVERFLOW: &str = "_other";

/// Admits the first `cap` distinct values of a label; every later one becomes [`OVERFLOW`].
///
/// Without the cap, one scanner could create a time series with each request. An admitted value stays admitted: a
/// counter must not jump from one label to another.
#[derive(Debug)]
pub struct CappedLabels {
    cap: usize,
    admitted: RwLock<HashSet<Box<str>>>,
}

impl CappedLabels {
    /// Makes a set that admits at most `cap` values.
    pub fn new(cap: usize) -> Self {
        Self { cap, admitted: RwLock::new(HashSet::new()) }
    }

    /// Returns `value` if it is admitted or there is room for it, else [`OVERFLOW`].
    pub fn admit<'a>(&self, value: &'a str) -> &'a str {
        // The set is never left half-changed, so a panic elsewhere while the lock was held changes nothing.
        {
            let admitted = self.admitted.read().unwrap_or_else(PoisonError::into_inner);
            if admitted.contains(value) {
                return value;
            }
            if admitted.len() >= self.cap {
                return OVERFLOW;
            }
        }
        let mut admitted = self.admitted.write().unwrap_or_else(PoisonError::into_inner);
        if admitted.contains(value) {
            return value;
        }
        if admitted.len() >= self.cap {
            return OVERFLOW;
        }
        admitted.insert(value.into());
        value
    }

    /// Returns how many values are admitted.
    pub fn len(&self) -> usize {
        self.admitted.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether no value is admitted yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_values_keep_their_names() {
        let services = CappedLabels::new(2);
        assert!(services.is_empty());
        assert_eq!(services.admit("orders"), "orders");
        assert_eq!(services.admit("billing"), "billing");
        assert_eq!(services.admit("search"), OVERFLOW);
        assert_eq!(services.admit("orders"), "orders");
        assert_eq!(services.len(), 2);
    }

    #[test]
    fn a_cap_of_zero_admits_nothing() {
        assert_eq!(CappedLabels::new(0).admit("orders"), OVERFLOW);
    }

    #[test]
    fn threads_together_do_not_pass_the_cap() {
        let labels = CappedLabels::new(10);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let labels = &labels;
                scope.spawn(move || {
                    for value in 0..100 {
                        labels.admit(&format!("{thread}/{value}"));
                    }
                });
            }
        });
        assert_eq!(labels.len(), 10);
    }

    proptest! {
        #[test]
        fn an_answer_never_changes(cap in 0_usize..6, values in prop::collection::vec("[a-h]", 0..60)) {
            let labels = CappedLabels::new(cap);
            let first: Vec<String> = values.iter().map(|value| labels.admit(value).to_owned()).collect();
            for (value, answer) in values.iter().zip(&first) {
                prop_assert_eq!(labels.admit(value), answer);
            }
            prop_assert!(labels.len() <= cap);
        }
    }
}
