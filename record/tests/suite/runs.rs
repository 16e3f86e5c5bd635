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

proptest! {
    #[test]
    fn a_set_grows_and_shrinks_as_a_plain_one_does(steps in prop::collection::vec((0_u64..60, 0_u64..9, 0_u8..8), 0..60)) {
        let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
        for (first, more, step) in steps {
            match step {
                0 => {
                    let removed = runs.remove_first();
                    prop_assert_eq!(removed.map(|run| run.first), set.first().copied());
                    removed.iter().flat_map(|run| run.first..=run.last).for_each(|number| assert!(set.remove(&number)));
                }
                1..4 => {
                    runs.insert_run(Run { first, last: first + more });
                    set.extend(first..=first + more);
                }
                _ => prop_assert_eq!(runs.insert(first), set.insert(first)),
            }
            prop_assert_eq!(Runs::from_canonical(runs.runs().to_vec()), Some(runs.clone()));
            prop_assert_eq!(runs.runs().iter().flat_map(|run| run.first..=run.last).collect::<BTreeSet<_>>(), set.clone());
            let others: BTreeSet<u64> = (first..=first + more).collect();
            prop_assert_eq!(runs.intersects(&Runs::between(first, first + more)), !set.is_disjoint(&others));
        }
    }

    #[test]
    fn what_arrives_once_is_joined_and_what_arrives_twice_is_refused(ranges in any_runs()) {
        let mut arrived: Vec<Run> = ranges.iter().map(|(first, more)| Run { first: *first, last: first + more }).collect();
        let numbers: u64 = arrived.iter().map(Run::count).sum();
        let set = set_of(&ranges);
        let joined = Runs::disjoint(&mut arrived);
        prop_assert!(arrived.is_empty());
        match joined {
            Ok(runs) => {
                prop_assert_eq!(runs, runs_of(&ranges));
                prop_assert_eq!(numbers, set.len() as u64);
            }
            Err(doubled) => {
                let copies = ranges.iter().filter(|(first, more)| (*first..=first + more).contains(&doubled));
                prop_assert!(copies.count() > 1);
            }
        }
    }

    #[test]
    fn a_run_without_another_and_their_intersection_are_the_run(a in 0_i64..20, more_a in 0_i64..9, b in 0_i64..20, more_b in 0_i64..9) {
        let (run, other) = (Run { first: a, last: a + more_a }, Run { first: b, last: b + more_b });
        let parts: Vec<Run> = run.without(other).chain(run.intersection(other)).collect();
        prop_assert_eq!(parts.iter().map(Run::count).sum::<u64>(), run.count());
        prop_assert_eq!(Runs::of(parts), Runs::between(run.first, run.last));
        prop_assert!(run.without(other).all(|part| part.intersection(other).is_none()));
    }
}

#[test]
fn runs_that_are_not_the_form_of_a_set_are_refused() {
    for (runs, is_canonical) in [
        (vec![], true),
        (vec![(1, 1), (3, 4), (u64::MAX, u64::MAX)], true),
        (vec![(2, 1)], false),
        (vec![(1, 1), (2, 4)], false),
        (vec![(1, 3), (2, 4)], false),
        (vec![(3, 4), (1, 1)], false),
        (vec![(0, u64::MAX), (5, 6)], false),
    ] {
        let listed: Vec<Run<u64>> = runs.iter().map(|(first, last)| Run { first: *first, last: *last }).collect();
        assert_eq!(Runs::from_canonical(listed).is_some(), is_canonical, "{runs:?}");
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
    let mut ends = Runs::default();
    for number in [u64::MAX, 0, u64::MAX - 1, 1, 0] {
        ends.insert(number);
    }
    assert_eq!(ends.runs(), [Run { first: 0, last: 1 }, Run { first: u64::MAX - 1, last: u64::MAX }]);
    ends.insert_run(Run { first: 0, last: u64::MAX });
    assert_eq!(ends, Runs::between(0, u64::MAX));
}

#[test]
fn runs_read_as_people_write_them() {
    let runs = Runs::<i64>::of([Run { first: 8, last: 9 }, Run { first: 1, last: 3 }, Run { first: 5, last: 5 }]);
    assert_eq!(runs.to_string(), "1..3, 5, 8..9");
}
