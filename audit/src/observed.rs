//! What the table's rows say of one producer, before it is judged.

use std::collections::BTreeMap;

use tollgate_account::Account;

/// One of each for each producer, by its name.
pub type ByProducer<T> = BTreeMap<String, T>;

/// What was read of one producer.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its rows, those around the range too.
    pub account: Account,
    /// Largest number that a row before the range covers, as far as that was looked for.
    pub before: Option<i64>,
    /// Smallest number of a record in the range.
    pub first: Option<i64>,
    /// Largest number that a row in the range covers.
    pub last: Option<i64>,
    /// Largest number that a row covers which began before the settling time.
    pub settled: Option<i64>,
    /// Time of its newest row, in microseconds since 1970.
    pub newest_us: Option<i64>,
}

impl Observed {
    /// Adds what was read of the same producer elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.account.merge(other.account);
        self.before = self.before.max(other.before);
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
        self.settled = self.settled.max(other.settled);
        self.newest_us = self.newest_us.max(other.newest_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_producer_are_put_together() {
        let mut whole = Observed::default();
        for (first, last) in [(5, 9), (1, 4)] {
            whole.merge(Observed { first: Some(first), last: Some(last), ..Observed::default() });
        }
        assert_eq!((whole.first, whole.last, whole.before), (Some(1), Some(9), None));
    }
}
