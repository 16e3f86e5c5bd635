//! Sets of `seq`, kept as runs: a whole day of a producer that lost nothing is one run.
//!
//! ```text
//!   1, 2, 3, 5, 8, 9   is   1..=3  5  8..=9
//! ```
//! Runs are ascending, disjoint and not adjacent, so that there is one form for one set. Everything here takes time and
//! memory by the number of runs, whatever the numbers in them.

use std::fmt;

/// Numbers that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// The first of them.
    pub first: i64,
    /// The last of them; not before `first`.
    pub last: i64,
}

impl Run {
    /// How many numbers it holds.
    pub fn count(&self) -> u64 {
        self.last.abs_diff(self.first).saturating_add(1)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}..{}", self.first, self.last) }
    }
}

/// A set of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<Run>);

impl Runs {
    /// The numbers from `first` to `last`, both inclusive; none if `last` is before `first`.
    pub fn between(first: i64, last: i64) -> Self {
        Self(if first <= last { vec![Run { first, last }] } else { Vec::new() })
    }

    /// All numbers of these runs, which may come in any order, touch and overlap.
    pub fn of(runs: impl IntoIterator<Item = Run>) -> Self {
        let mut runs: Vec<Run> = runs.into_iter().filter(|run| run.first <= run.last).collect();
        runs.sort_unstable();
        let mut joined = Self::default();
        for run in runs {
            joined.push(run);
        }
        joined
    }

    /// Appends a run that begins no earlier than the last one.
    fn push(&mut self, run: Run) {
        match self.0.last_mut() {
            Some(last) if run.first <= last.last.saturating_add(1) => last.last = last.last.max(run.last),
            _ => self.0.push(run),
        }
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.0
    }

    /// Whether it holds no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers it holds.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, run| sum.saturating_add(run.count()))
    }

    /// The smallest number.
    pub fn first(&self) -> Option<i64> {
        self.0.first().map(|run| run.first)
    }

    /// The largest number.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|run| run.last)
    }

    /// Whether it holds this number.
    pub fn contains(&self, number: i64) -> bool {
        let after = self.0.partition_point(|run| run.first <= number);
        after > 0 && self.0[after - 1].last >= number
    }

    /// Numbers of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    /// Numbers of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Self::default();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let run = Run { first: x.first.max(y.first), last: x.last.min(y.last) };
            if run.first <= run.last {
                both.push(run);
            }
            if x.last < y.last {
                a.next()
            } else {
                b.next()
            };
        }
        both
    }

    /// Numbers of this set that the other lacks.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        let mut taken = other.0.iter().peekable();
        for run in &self.0 {
            let mut first = Some(run.first);
            while let Some(cut) = taken.peek().filter(|cut| cut.first <= run.last) {
                if let Some(at) = first.filter(|at| *at < cut.first) {
                    left.push(Run { first: at, last: cut.first - 1 });
                }
                // None once nothing can follow: at the end of the type.
                first = first.and_then(|at| cut.last.checked_add(1).map(|next| next.max(at)));
                if cut.last > run.last {
                    break;
                }
                taken.next();
            }
            if let Some(at) = first.filter(|at| *at <= run.last) {
                left.push(Run { first: at, last: run.last });
            }
        }
        left
    }

    /// Numbers from `first` to `last`, both inclusive.
    #[must_use]
    pub fn within(&self, first: i64, last: i64) -> Self {
        self.intersection(&Self::between(first, last))
    }
}

impl FromIterator<Run> for Runs {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        Self::of(runs)
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.iter().enumerate() {
            write!(f, "{}{run}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
