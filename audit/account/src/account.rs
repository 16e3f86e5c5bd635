//! What is known of one producer's numbers.

use tollgate_record::runs::{Run, Runs};

/// What is known of one producer's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows that are records: not gaps.
    pub rows: u64,
    /// Records among them of handshakes that failed.
    pub handshakes_failed: u64,
    /// Numbers that have a record.
    pub runs: Runs,
    /// Numbers that have more than one.
    pub doubled: Runs,
    /// The gap rows, ascending.
    pub shed: Vec<Shed>,
}

/// One gap row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shed {
    /// The numbers that were shed.
    pub run: Run,
    /// Why.
    pub reason: String,
}

impl Account {
    /// Records beyond the first of each number.
    pub fn copies(&self) -> u64 {
        self.rows.saturating_sub(self.runs.count())
    }

    /// Numbers that a gap declares as shed.
    pub fn shed_runs(&self) -> Runs {
        self.shed.iter().map(|shed| shed.run).collect()
    }

    /// Numbers from `first` to `last` that have no record and that no gap declares.
    pub fn holes(&self, first: i64, last: i64) -> Runs {
        Runs::between(first, last).without(&self.runs).without(&self.shed_runs())
    }

    /// Adds what is known from other rows.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.handshakes_failed += other.handshakes_failed;
        self.doubled = self.doubled.union(&other.doubled).union(&self.runs.intersection(&other.runs));
        self.runs = self.runs.union(&other.runs);
        self.shed.extend(other.shed);
        self.shed.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_parts_of_the_rows_add_up() {
        let part = |first, last| Account {
            rows: last as u64 - first as u64 + 1,
            runs: Runs::between(first, last),
            ..Account::default()
        };
        let mut sum = part(1, 10);
        sum.merge(part(9, 20));
        sum.merge(Account {
            shed: vec![Shed { run: Run { first: 23, last: 24 }, reason: String::new() }],
            ..part(26, 30)
        });
        assert_eq!((sum.rows, sum.copies(), sum.doubled.to_string()), (27, 2, "9..10".to_owned()));
        assert_eq!(sum.holes(1, 30).to_string(), "21..22, 25");
    }
}
