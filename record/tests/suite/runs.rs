//! Sets of numbers as runs, against sets that hold every number.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tollgate_record::runs::{Run, Runs};

fn any_runs() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((-5_i64..60, 0_i64..9), 0..24)
}

fn runs_of(ranges: &[(i64, i64)]) -> Runs {
    ranges.iter().map(|(first, more)| Run { first: *first, last: first + more }).collect()
}

fn set_of(ranges: &[(i64, i64)]) -> BTreeSet<i64> {
    ranges.iter().flat_map(|(first, more)| *first..=first + more).collect()
}

fn listed(runs: &Runs) -> BTreeSet<i64> {
    runs.runs().iter().flat_map(|run| run.first..=run.last).collect()
}

/// One form for one set: ascending, disjoint, not adjacent.
fn assert_canonical(runs: &Runs) {
    assert!(runs.runs().iter().all(|run| run.first <= run.last), "{runs:?}");
    assert!(runs.runs().windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "{runs:?}");
}

proptest! {
    #[test]
    fn runs_are_the_set_that_they_stand_for(a in any_runs(), b in any_runs(), first in -9_i64..70, more in -3_i64..40) {
        let (runs_a, runs_b, set_a, set_b) = (runs_of(&a), runs_of(&b), set_of(&a), set_of(&b));
        for (runs, set) in [
            (runs_a.clone(), set_a.clone()),
            (runs_a.union(&runs_b), &set_a | &set_b),
            (runs_a.intersection(&runs_b), &set_a & &set_b),
            (runs_a.without(&runs_b), &set_a - &set_b),
            (runs_a.within(first, first + more), set_a.iter().copied().filter(|n| (first..=first + more).contains(n)).collect()),
            (Runs::between(first, first + more).without(&runs_a), (first..=first + more).filter(|n| !set_a.contains(n)).collect()),
        ] {
            assert_canonical(&runs);
            prop_assert_eq!(listed(&runs), set.clone());
            prop_assert_eq!(runs.count(), set.len() as u64);
            prop_assert_eq!((runs.first(), runs.last()), (set.first().copied(), set.last().copied()));
        }
        for number in -10..75 {
            prop_assert_eq!(runs_a.contains(number), set_a.contains(&number));
        }
    }
}

#[test]
fn numbers_at_the_ends_of_their_type_are_harmless() {
    let all = Runs::between(i64::MIN, i64::MAX);
    assert_eq!(all.count(), u64::MAX, "one less than there are, as there is no larger number");
    assert!(all.without(&all).is_empty());
    let ends = Runs::of([Run { first: i64::MAX, last: i64::MAX }, Run { first: i64::MIN, last: i64::MIN }]);
    assert_eq!(all.without(&ends), Runs::between(i64::MIN + 1, i64::MAX - 1));
    assert_eq!(all.intersection(&ends), ends);
    assert_eq!(ends.union(&all), all);
}

#[test]
fn runs_read_as_people_write_them() {
    let runs = Runs::of([Run { first: 8, last: 9 }, Run { first: 1, last: 3 }, Run { first: 5, last: 5 }]);
    assert_eq!(runs.to_string(), "1..3, 5, 8..9");
}
