//! A sketch of a distribution: any number of percentiles from one state, each within 1 % of the value that it stands for.
//!
//! # Bins
//! A log-linear histogram. Every power of two is cut into 64 bins of equal width, so a bin is at most 1/64 as wide as its
//! lower end, and its middle is within 1/128 (0.79 %) of every value in it. The number of a bin is the sign, the exponent and
//! the six highest bits of the mantissa of the value as an IEEE 754 double: no logarithm is taken. Zero has a bin of its own.
//!
//! ```text
//!   value (f64)  s eeeeeeeeeee mmmmmm mmmm…   ──▶   bin = ±(eeeeeeeeeee mmmmmm)    0 for values nearer to 0 than 2^-1022
//! ```
//! Integers below 128 have a bin each ([`integer_of`] shows them exactly). The relative error is that of DDSketch with α = 0.0079 (Masson, Rim, Lee: DDSketch,
//! PVLDB 12(12), 2019); linear bins within an octave are HdrHistogram's.
//!
//! # Order does not matter
//! A state is a set of (bin, count), and a merge adds counts. So the same values make the same state in whatever order and
//! grouping they come: rows, partial states of several threads, and roll-ups of any grain give equal percentiles.
//!
//! # Bytes
//! ```text
//!   version 1 │ bins: varint │ bin: zigzag varint, then difference to the one before: varint │ count: varint │ …
//! ```
//! Bins ascend, counts are at least 1. The same state has the same bytes.
#![deny(rustdoc::broken_intra_doc_links)]

mod bins;
mod bytes;

pub use bins::{bin_of, integer_of, value_of};
pub use bytes::SketchError;

/// Bins of one sketch, at most: all that doubles have, both signs and zero. A state that claims more is refused.
pub const BINS_MAX: usize = 2 * (2_047 << bins::MANTISSA_BITS) + 1;

/// Counts by bin, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    bins: Vec<(i32, u64)>,
}

impl Sketch {
    /// A sketch of no values.
    #[must_use]
    pub const fn new() -> Self {
        Self { bins: Vec::new() }
    }

    /// Adds a value. A value that is no number is left out; an infinite one counts as the largest double.
    pub fn add(&mut self, value: f64) {
        if let Some(bin) = bin_of(value) {
            self.add_bin(bin, 1);
        }
    }

    /// Adds `count` values of one bin.
    pub fn add_bin(&mut self, bin: i32, count: u64) {
        if count == 0 {
            return;
        }
        match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(count),
            Err(at) => self.bins.insert(at, (bin, count)),
        }
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, other: &Self) {
        if self.bins.is_empty() {
            self.bins.clone_from(&other.bins);
            return;
        }
        let mut merged = Vec::with_capacity(self.bins.len().max(other.bins.len()));
        let (mut ours, mut theirs) = (self.bins.iter().peekable(), other.bins.iter().peekable());
        while let (Some(&&(a, in_a)), Some(&&(b, in_b))) = (ours.peek(), theirs.peek()) {
            let [of_a, of_b] = [if a <= b { in_a } else { 0 }, if b <= a { in_b } else { 0 }];
            merged.push((a.min(b), of_a.saturating_add(of_b)));
            if a <= b {
                ours.next();
            }
            if b <= a {
                theirs.next();
            }
        }
        merged.extend(ours);
        merged.extend(theirs);
        self.bins = merged;
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// (bin, count), by ascending bin.
    pub fn bins(&self) -> impl Iterator<Item = (i32, u64)> {
        self.bins.iter().copied()
    }

    /// The bin at a quantile in `[0, 1]`: that of the value at rank ⌊q · (n − 1)⌋, counted from 0 in ascending order. `None`
    /// without values, or for a quantile out of range. [`value_of`] and [`integer_of`] say what it stands for.
    #[must_use]
    pub fn quantile_bin(&self, quantile: f64) -> Option<i32> {
        let rank = rank(self.count(), quantile)?;
        let mut seen = 0_u64;
        let above = self.bins.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen > rank
        });
        above.or(self.bins.last()).map(|(bin, _)| *bin)
    }

    /// [`Sketch::quantile_bin`] of the state in these bytes, without making it.
    ///
    /// # Errors
    /// If the bytes are no sketch.
    pub fn quantile_bin_of(bytes: &[u8], quantile: f64) -> Result<Option<i32>, SketchError> {
        let mut count = 0_u64;
        Self::for_each_bin(bytes, |_, of_bin| count = count.saturating_add(of_bin))?;
        let Some(rank) = rank(count, quantile) else { return Ok(None) };
        let (mut seen, mut found) = (0_u64, None);
        Self::for_each_bin(bytes, |bin, of_bin| {
            if found.is_none() || seen <= rank {
                found = Some(bin);
            }
            seen = seen.saturating_add(of_bin);
        })?;
        Ok(found)
    }

    /// The middle of [`Sketch::quantile_bin`].
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        self.quantile_bin(quantile).map(value_of)
    }

    /// Memory that the bins take, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<(i32, u64)>()
    }
}

/// The rank of a quantile in `[0, 1]` among so many values; `None` for another quantile, or without values.
fn rank(count: u64, quantile: f64) -> Option<u64> {
    // Ranks past 2^53 are exact to a part in 2^53 only, which moves no percentile that anybody can see.
    let last = count.checked_sub(1)?;
    (0.0..=1.0).contains(&quantile).then(|| (quantile * last as f64).floor() as u64)
}

impl FromIterator<(i32, u64)> for Sketch {
    /// From (bin, count) in any order; a bin may come several times.
    fn from_iter<I: IntoIterator<Item = (i32, u64)>>(bins: I) -> Self {
        let mut bins: Vec<_> = bins.into_iter().filter(|(_, count)| *count > 0).collect();
        bins.sort_unstable_by_key(|(bin, _)| *bin);
        bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        Self { bins }
    }
}
