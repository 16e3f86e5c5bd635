//! Which numbers of one producer have been seen.
//!
//! ```text
//!        origin                                          next
//!          │ seen │ hole, since t1 │ seen │ hole, t2 │ seen │ not issued yet, as far as we know
//! ```
//! Holes are kept, not what was seen: there are as many as there are transactions in flight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A run of numbers that have not been seen, from its key to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    end: i64,
    since: Instant,
}

/// The numbers of one producer.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// First number that is followed.
    origin: i64,
    /// First number after all that were seen.
    next: i64,
    holes: BTreeMap<i64, Hole>,
    holes_max: usize,
    /// Numbers in holes that were given up for lack of room.
    given_up: i64,
}

impl Sequence {
    /// Follows a producer from this number on.
    pub(crate) fn from(origin: i64, holes_max: usize) -> Self {
        let origin = origin.max(1);
        Self { origin, next: origin, holes: BTreeMap::new(), holes_max: holes_max.max(1), given_up: 0 }
    }

    /// The producer's very first batch has come, so it is followed from number 1, though a later batch came before.
    pub(crate) fn begins_at_one(&mut self, now: Instant) {
        if self.origin > 1 && self.given_up == 0 {
            self.holes.insert(1, Hole { end: self.origin, since: now });
            self.origin = 1;
        }
    }

    /// The numbers from `first` to before `end` have been seen or declared as shed. Answers how many of them had been already.
    pub(crate) fn cover(&mut self, first: i64, end: i64, now: Instant) -> i64 {
        let first = first.max(self.origin);
        if first >= end {
            return 0;
        }
        let mut again = 0;
        if first < self.next {
            let filled = self.fill(first, end);
            again = end.min(self.next).saturating_sub(first).saturating_sub(filled);
        } else if first > self.next {
            self.holes.insert(self.next, Hole { end: first, since: now });
        }
        self.next = self.next.max(end);
        while self.holes.len() > self.holes_max {
            self.give_up_first();
        }
        again
    }

    /// Takes the numbers out of the holes they stand in, and answers how many did.
    fn fill(&mut self, first: i64, end: i64) -> i64 {
        let mut filled = 0_i64;
        // Holes do not overlap, so at most one begins before `first` and reaches into the run.
        let before = self.holes.range(..first).next_back().map(|(start, hole)| (*start, *hole));
        if let Some((start, hole)) = before.filter(|(_, hole)| hole.end > first) {
            self.holes.insert(start, Hole { end: first, since: hole.since });
            filled = filled.saturating_add(hole.end.min(end) - first);
            if hole.end > end {
                self.holes.insert(end, hole);
            }
        }
        while let Some((start, hole)) = self.holes.range(first..end).next().map(|(start, hole)| (*start, *hole)) {
            self.holes.remove(&start);
            filled = filled.saturating_add(hole.end.min(end) - start);
            if hole.end > end {
                self.holes.insert(end, hole);
            }
        }
        filled
    }

    fn give_up_first(&mut self) {
        if let Some((start, hole)) = self.holes.pop_first() {
            self.given_up = self.given_up.saturating_add(hole.end - start);
            // What arrives below from now on cannot be told from what was seen before.
            self.origin = hole.end;
        }
    }

    /// How many numbers stand in holes at least this old.
    pub(crate) fn missing(&self, now: Instant, grace: Duration) -> i64 {
        let old = self.holes.iter().filter(|(_, hole)| now.saturating_duration_since(hole.since) >= grace);
        old.fold(self.given_up, |sum, (start, hole)| sum.saturating_add(hole.end - start))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn missing_at_once(sequence: &Sequence, now: Instant) -> i64 {
        sequence.missing(now, Duration::ZERO)
    }

    #[test]
    fn a_hole_counts_when_its_grace_is_over_and_ends_when_it_is_filled() {
        let start = Instant::now();
        let mut sequence = Sequence::from(1, 10);
        sequence.cover(1, 5, start);
        sequence.cover(8, 10, start);
        assert_eq!(sequence.missing(start + GRACE / 2, GRACE), 0);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 3);
        sequence.cover(6, 7, start + GRACE);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 2);
        sequence.cover(5, 8, start + GRACE);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 0);
    }

    #[test]
    fn what_came_before_the_origin_is_not_followed() {
        let now = Instant::now();
        let mut sequence = Sequence::from(1_000, 10);
        sequence.cover(1_000, 1_010, now);
        sequence.cover(3, 4, now);
        assert_eq!(missing_at_once(&sequence, now), 0);
        sequence.begins_at_one(now);
        sequence.cover(1, 990, now);
        assert_eq!(missing_at_once(&sequence, now), 10);
    }

    #[test]
    fn too_many_holes_are_given_up_and_stay_missing() {
        let now = Instant::now();
        let mut sequence = Sequence::from(1, 3);
        for odd in (1..20).step_by(2) {
            sequence.cover(odd, odd + 1, now);
        }
        assert_eq!(sequence.holes.len(), 3);
        assert_eq!(missing_at_once(&sequence, now), 9);
        sequence.cover(1, 20, now);
        assert_eq!(missing_at_once(&sequence, now), 6, "six were given up before they came");
    }

    #[test]
    fn numbers_at_the_ends_of_their_type_are_harmless() {
        let now = Instant::now();
        let mut sequence = Sequence::from(i64::MIN, 3);
        sequence.cover(i64::MIN, i64::MIN + 1, now);
        sequence.cover(i64::MAX - 1, i64::MAX, now);
        sequence.cover(5, 2, now);
        assert_eq!(missing_at_once(&sequence, now), i64::MAX - 2);
    }

    proptest! {
        #[test]
        fn holes_are_what_a_set_of_numbers_lacks(runs in prop::collection::vec((1_i64..200, 1_i64..12), 1..60)) {
            let now = Instant::now();
            let mut sequence = Sequence::from(1, 1_000);
            let mut seen = BTreeSet::new();
            for (first, count) in runs {
                let again = (first..first + count).filter(|number| seen.contains(number)).count();
                prop_assert_eq!(sequence.cover(first, first + count, now), again as i64);
                seen.extend(first..first + count);
                let last = seen.last().copied().unwrap_or(0);
                let lacking = (1..=last).filter(|number| !seen.contains(number)).count();
                prop_assert_eq!(missing_at_once(&sequence, now), lacking as i64);
                prop_assert!(sequence.holes.iter().all(|(start, hole)| *start < hole.end));
            }
        }
    }
}
