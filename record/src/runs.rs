//! Sets of numbers, kept as runs: a whole day of a producer that lost nothing is one run.
//!
//! ```text
//!   1, 2, 3, 5, 8, 9   is   1..=3  5  8..=9
//! ```
//! Runs are ascending, disjoint and not adjacent, so that there is one form for one set. Every operation takes time and
//! memory by the number of runs, whatever the numbers in them.
//!
//! # Who keeps sets of numbers
//!
//! | who | numbers | does |
//! |---|---|---|
//! | a sealed batch | `seq` (`i64`) | [`Runs::disjoint`]: joins what arrived in any order, refuses a number that came twice |
//! | the collector's ledger | `batch_seq` (`u64`) | [`Runs::insert`], [`Runs::remove_first`] at its bound |
//! | the table's log | `batch_seq` | [`Runs::insert_run`], [`Runs::intersects`] |
//! | the account and the audit | `seq` | [`Runs::union`], [`Runs::without`], [`Runs::within`] |
//! | the metrics sink | `seq` | [`Run`] only: its holes have ages, which a set has no place for |
//!
//! # Why an own type
//!
//! Two crates were weighed. `range-set-blaze` keeps a set in a B-tree, which is right for millions of runs. Here nearly
//! every set is one run: a sorted `Vec` takes 16 bytes for it where a tree's node takes some 200, in up to 65,536 producers
//! at once. The crate would also bring four others into the proxy. `roaring` keeps one container for every 65,536 numbers,
//! so the run 1 to 2^42 is 67 million containers. It is the right form while single numbers come in any order, and
//! `queries` collects them in it before it makes runs of them.

use std::fmt;

/// A type whose values can stand in a set: `i64` as `seq` has, `u64` as `batch_seq` has.
pub trait Number: Copy + Ord + fmt::Debug + fmt::Display {
    /// The number after this one; `None` at the end of the type.
    fn next(self) -> Option<Self>;
    /// The number before this one; `None` at the beginning of the type.
    fn previous(self) -> Option<Self>;
    /// How many numbers lie between the two.
    fn distance(self, other: Self) -> u64;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            #[inline]
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            #[inline]
            fn distance(self, other: Self) -> u64 {
                self.abs_diff(other)
            }
        }
    )*};
}
number!(i64, u64);

/// Numbers that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run<T = i64> {
    /// The first of them.
    pub first: T,
    /// The last of them; not before `first`.
    pub last: T,
}

impl<T: Number> Run<T> {
    /// The numbers from `first` to `last`, both inclusive; `None` if `last` is before `first`.
    #[inline]
    pub fn between(first: T, last: T) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// How many numbers it holds.
    pub fn count(&self) -> u64 {
        self.last.distance(self.first).saturating_add(1)
    }

    /// Appends `next` if it begins right after this run, and answers whether it did.
    #[inline]
    pub fn append(&mut self, next: Self) -> bool {
        let follows = self.last.next() == Some(next.first);
        if follows {
            self.last = next.last;
        }
        follows
    }

    /// The numbers of both runs.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::between(self.first.max(other.first), self.last.min(other.last))
    }

    /// The numbers of this run that `other` lacks: those before it, those after it.
    pub fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let before = other.first.previous().and_then(|last| Self::between(self.first, last.min(self.last)));
        let after = other.last.next().and_then(|first| Self::between(first.max(self.first), self.last));
        before.into_iter().chain(after)
    }
}

impl<T: Number> fmt::Display for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}..{}", self.first, self.last) }
    }
}

/// A set of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs<T = i64>(Vec<Run<T>>);

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Number> Runs<T> {
    /// The numbers from `first` to `last`, both inclusive; none if `last` is before `first`.
    pub fn between(first: T, last: T) -> Self {
        Self(Run::between(first, last).into_iter().collect())
    }

    /// All numbers of these runs, which may come in any order, touch and overlap.
    pub fn of(runs: impl IntoIterator<Item = Run<T>>) -> Self {
        let mut runs: Vec<Run<T>> = runs.into_iter().filter(|run| run.first <= run.last).collect();
        runs.sort_unstable();
        let mut joined = Self::default();
        for run in runs {
            joined.push(run);
        }
        joined
    }

    /// All numbers of `runs`, which may come in any order and touch; `runs` is emptied and keeps its memory.
    ///
    /// # Errors
    /// A number that stands in two of the runs.
    pub fn disjoint(runs: &mut Vec<Run<T>>) -> Result<Self, T> {
        runs.sort_unstable();
        let mut joined: Vec<Run<T>> = Vec::with_capacity(1);
        let mut doubled = None;
        for run in runs.drain(..) {
            let last = joined.last_mut();
            if last.as_ref().is_some_and(|last| run.first <= last.last) {
                doubled = Some(run.first);
            } else if !last.is_some_and(|last| last.append(run)) {
                joined.push(run);
            }
        }
        doubled.map_or(Ok(Self(joined)), Err)
    }

    /// The set that these runs are the form of; `None` if they are not ascending, disjoint and not adjacent.
    pub fn from_canonical(runs: Vec<Run<T>>) -> Option<Self> {
        let is_canonical = runs.iter().all(|run| run.first <= run.last)
            && runs.windows(2).all(|pair| pair[0].last.next().is_some_and(|next| next < pair[1].first));
        is_canonical.then_some(Self(runs))
    }

    /// Appends a run that begins no earlier than the last one.
    fn push(&mut self, run: Run<T>) {
        match self.0.last_mut() {
            Some(last) if last.last.next().is_none_or(|next| run.first <= next) => last.last = last.last.max(run.last),
            _ => self.0.push(run),
        }
    }

    /// Adds a number; answers whether it is new.
    pub fn insert(&mut self, number: T) -> bool {
        let is_new = !self.contains(number);
        if is_new {
            self.insert_run(Run { first: number, last: number });
        }
        is_new
    }

    /// Adds the numbers of a run.
    pub fn insert_run(&mut self, run: Run<T>) {
        // All runs that overlap or touch the new one become one with it.
        let from = self.0.partition_point(|old| old.last.next().is_some_and(|next| next < run.first));
        let to = self.0.partition_point(|old| run.last.next().is_none_or(|next| old.first <= next));
        let joined = self.0[from..to]
            .iter()
            .fold(run, |joined, old| Run { first: joined.first.min(old.first), last: joined.last.max(old.last) });
        self.0.splice(from..to, [joined]);
    }

    /// Takes out the run with the smallest numbers.
    pub fn remove_first(&mut self) -> Option<Run<T>> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[Run<T>] {
        &self.0
    }

    /// Bytes that the set takes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Run<T>>()
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
    pub fn first(&self) -> Option<T> {
        self.0.first().map(|run| run.first)
    }

    /// The largest number.
    pub fn last(&self) -> Option<T> {
        self.0.last().map(|run| run.last)
    }

    /// Whether it holds this number.
    pub fn contains(&self, number: T) -> bool {
        let after = self.0.partition_point(|run| run.first <= number);
        after > 0 && self.0[after - 1].last >= number
    }

    /// Whether any number is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        other.0.iter().any(|theirs| {
            let at = self.0.partition_point(|run| run.last < theirs.first);
            self.0.get(at).is_some_and(|run| run.first <= theirs.last)
        })
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
            if let Some(run) = x.intersection(**y) {
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
        let mut cuts = other.0.iter().peekable();
        for run in &self.0 {
            // What of the run no cut has reached yet.
            let mut rest = Some(*run);
            while let (Some(uncut), Some(cut)) = (rest, cuts.peek().filter(|cut| cut.first <= run.last)) {
                rest = None;
                for part in uncut.without(**cut) {
                    if part.first < cut.first {
                        left.push(part);
                    } else {
                        rest = Some(part);
                    }
                }
                // The cut reaches past the run, and so perhaps into the next one.
                if cut.last > run.last {
                    break;
                }
                cuts.next();
            }
            if let Some(run) = rest {
                left.push(run);
            }
        }
        left
    }

    /// Numbers from `first` to `last`, both inclusive.
    #[must_use]
    pub fn within(&self, first: T, last: T) -> Self {
        self.intersection(&Self::between(first, last))
    }
}

impl<T: Number> FromIterator<Run<T>> for Runs<T> {
    fn from_iter<I: IntoIterator<Item = Run<T>>>(runs: I) -> Self {
        Self::of(runs)
    }
}

impl<T: Number> fmt::Display for Runs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.iter().enumerate() {
            write!(f, "{}{run}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
