//! Which numbers of one producer have been seen.
//!
//! ```text
//!        origin                                          next
//!          │ seen │ hole, since t1 │ seen │ hole, t2 │ seen │ not issued yet, as far as we know
//! ```
//! Holes are kept, not what was seen: there are as many as there are transactions in flight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tollgate_record::runs::Run;

/// A run of numbers that have not been seen. Its first number is its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    last: i64,
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

    /// Follows the producer from number 1: its very first batch has come, though a later one came before.
    pub(crate) fn begins_at_one(&mut self, now: Instant) {
        if self.origin > 1 && self.given_up == 0 {
            self.holes.insert(1, Hole { last: self.origin - 1, since: now });
            self.origin = 1;
        }
    }

    /// Notes numbers that were seen or declared as shed. Answers how many of them had been already.
    pub(crate) fn cover(&mut self, run: Run, now: Instant) -> i64 {
        let Some(run) = Run::between(run.first.max(self.origin), run.last) else { return 0 };
        let mut again = 0;
        if let Some(known) = Run::between(run.first, run.last.min(self.next - 1)) {
            again = count(known).saturating_sub(self.fill(run));
        } else if run.first > self.next {
            self.holes.insert(self.next, Hole { last: run.first - 1, since: now });
        }
        self.next = self.next.max(run.last.saturating_add(1));
        while self.holes.len() > self.holes_max {
            self.give_up_first();
        }
        again
    }

    /// Takes the numbers out of the holes they stand in. Answers how many did.
    fn fill(&mut self, run: Run) -> i64 {
        // Holes do not overlap, so at most one begins before the run and reaches into it.
        let before = self.holes.range(..run.first).next_back();
        let from = before.filter(|(_, hole)| hole.last >= run.first).map_or(run.first, |(first, _)| *first);
        let touched: Vec<(i64, Hole)> = self.holes.extract_if(from..=run.last, |_, _| true).collect();
        let mut filled = 0_i64;
        for (first, Hole { last, since }) in touched {
            let hole = Run { first, last };
            filled = filled.saturating_add(hole.intersection(run).map_or(0, count));
            // What is left of a hole is as old as it was.
            self.holes.extend(hole.without(run).map(|left| (left.first, Hole { last: left.last, since })));
        }
        filled
    }

    fn give_up_first(&mut self) {
        if let Some((first, hole)) = self.holes.pop_first() {
            self.given_up = self.given_up.saturating_add(count(Run { first, last: hole.last }));
            // Below it, late numbers and numbers seen twice can no longer be told apart.
            self.origin = hole.last + 1;
        }
    }

    /// How many numbers stand in holes at least this old.
    pub(crate) fn missing(&self, now: Instant, grace: Duration) -> i64 {
        let old = self.holes.iter().filter(|(_, hole)| now.saturating_duration_since(hole.since) >= grace);
        old.fold(self.given_up, |sum, (first, hole)| sum.saturating_add(count(Run { first: *first, last: hole.last })))
    }
}

fn count(run: Run) -> i64 {
    i64::try_from(run.count()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    /// Covers the numbers from `first` to before `end`.
    fn cover(sequence: &mut Sequence, first: i64, end: i64, now: Instant) -> i64 {
        sequence.cover(Run { first, last: end - 1 }, now)
    }

    fn missing_at_once(sequence: &Sequence, now: Instant) -> i64 {
        sequence.missing(now, Duration::ZERO)
    }

    #[test]
    fn a_hole_counts_when_its_grace_is_over_and_ends_when_it_is_filled() {
        let start = Instant::now();
        let mut sequence = Sequence::from(1, 10);
        cover(&mut sequence, 1, 5, start);
        cover(&mut sequence, 8, 10, start);
        assert_eq!(sequence.missing(start + GRACE / 2, GRACE), 0);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 3);
        cover(&mut sequence, 6, 7, start + GRACE);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 2);
        cover(&mut sequence, 5, 8, start + GRACE);
        assert_eq!(sequence.missing(start + GRACE, GRACE), 0);
    }

    #[test]
    fn what_came_before_the_origin_is_not_followed() {
        let now = Instant::now();
        let mut sequence = Sequence::from(1_000, 10);
        cover(&mut sequence, 1_000, 1_010, now);
        cover(&mut sequence, 3, 4, now);
        assert_eq!(missing_at_once(&sequence, now), 0);
        sequence.begins_at_one(now);
        cover(&mut sequence, 1, 990, now);
        assert_eq!(missing_at_once(&sequence, now), 10);
    }

    #[test]
    fn too_many_holes_are_given_up_and_stay_missing() {
        let now = Instant::now();
        let mut sequence = Sequence::from(1, 3);
        for odd in (1..20).step_by(2) {
            cover(&mut sequence, odd, odd + 1, now);
        }
        assert_eq!(sequence.holes.len(), 3);
        assert_eq!(missing_at_once(&sequence, now), 9);
        cover(&mut sequence, 1, 20, now);
        assert_eq!(missing_at_once(&sequence, now), 6, "six were given up before they came");
    }

    #[test]
    fn numbers_at_the_ends_of_their_type_are_harmless() {
        let now = Instant::now();
        let mut sequence = Sequence::from(i64::MIN, 3);
        cover(&mut sequence, i64::MIN, i64::MIN + 1, now);
        cover(&mut sequence, i64::MAX - 1, i64::MAX, now);
        cover(&mut sequence, 5, 2, now);
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
                prop_assert_eq!(cover(&mut sequence, first, first + count, now), again as i64);
                seen.extend(first..first + count);
                let last = seen.last().copied().unwrap_or(0);
                let lacking = (1..=last).filter(|number| !seen.contains(number)).count();
                prop_assert_eq!(missing_at_once(&sequence, now), lacking as i64);
                prop_assert!(sequence.holes.iter().all(|(first, hole)| *first <= hole.last));
            }
        }
    }
}
