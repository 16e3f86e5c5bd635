//! What the table's rows alone say.

use proptest::prelude::*;
use tollgate_account::Account;
use tollgate_audit::{DeadLetters, Observed, SetAsideFolders, State, Verdict};
use tollgate_record::runs::Runs;

use crate::{OLD, SETTLED_US, SINCE_US, evidence, judged, observed, runs, shed, with_gaps, young};

/// The verdict on the only producer.
fn verdict_on(name: &str, observed: Observed) -> Verdict {
    let [verdict] = judged(&evidence([(name, observed)])).producers.try_into().expect("one producer");
    verdict
}

#[test]
fn complete_every_number_has_one_record() {
    let report = judged(&evidence([(&young(), observed(&[(1, 100)]))]));
    assert!(report.whole && report.producers[0].is_whole());
    let totals = report.totals;
    assert_eq!((totals.issued, totals.in_table, totals.missing, totals.doubled, totals.open), (100, 100, 0, 0, 0));
}

#[test]
fn missing_a_number_has_neither_record_nor_gap() {
    let report = judged(&evidence([(&young(), observed(&[(1, 41), (43, 100)]))]));
    assert!(!report.whole);
    assert_eq!((report.totals.missing, &report.producers[0].missing.runs), (1, &vec![(42, 42)]));
}

#[test]
fn open_a_number_is_too_young_to_be_called_missing() {
    let mut producer = observed(&[(100, 110), (113, 120), (122, 130)]);
    producer.settled = Some(118);
    let verdict = verdict_on(OLD, producer.clone());
    assert_eq!((verdict.missing.runs, verdict.open.runs), (vec![(111, 112)], vec![(121, 121)]));
    assert_eq!((verdict.issued, verdict.in_table), (31, 28));
    producer.settled = None;
    let report = judged(&evidence([(OLD, producer)]));
    assert!(report.whole, "nothing has settled, so nothing can be missing");
    assert_eq!((report.totals.missing, report.totals.open), (0, 3));
}

#[test]
fn late_batches_close_the_holes_that_they_left() {
    let mut producer = observed(&[(1, 10), (21, 30)]);
    assert_eq!(verdict_on(&young(), producer.clone()).missing.count, 10);
    producer.merge(observed(&[(11, 20)]));
    assert!(verdict_on(&young(), producer.clone()).is_whole(), "the late batch is in another piece of time");
    producer.merge(observed(&[(20, 20)]));
    assert_eq!(verdict_on(&young(), producer).doubled.runs, [(20, 20)], "a row in two pieces is there twice");
}

#[test]
fn a_producer_that_started_in_the_range_begins_with_one() {
    let verdict = verdict_on(&young(), observed(&[(4, 10)]));
    assert_eq!((verdict.missing.runs, verdict.first_seq, verdict.issued), (vec![(1, 3)], 1, 10));
    assert!(verdict.started_in_range);
    let verdict = verdict_on(OLD, observed(&[(4, 10)]));
    assert_eq!((verdict.missing.count, verdict.first_seq), (0, 4), "it may have begun before what is kept");
    assert!(!verdict.started_in_range);
}

#[test]
fn a_loss_around_the_beginning_of_the_range_is_missing_in_the_range_that_follows() {
    let mut producer = observed(&[(95, 99), (103, 110)]);
    producer.first = Some(103);
    assert_eq!(verdict_on(OLD, producer.clone()).missing.count, 0, "nothing is known of what was before");
    producer.before = Some(99);
    let verdict = verdict_on(OLD, producer.clone());
    assert_eq!((verdict.first_seq, verdict.missing.runs, verdict.issued), (100, vec![(100, 102)], 11));
    // Numbers and times are not in the same order: one before the cut may be higher.
    producer.before = Some(105);
    assert_eq!(verdict_on(OLD, producer.clone()).first_seq, 103);
    // A producer of this range begins with 1, whatever else.
    assert_eq!(verdict_on(&young(), producer).first_seq, 1);
}

#[test]
fn a_loss_after_the_highest_number_cannot_be_known() {
    let report = judged(&evidence([(OLD, observed(&[(5, 9)]))]));
    assert!(report.whole);
    assert!(report.notes.iter().any(|note| note.contains("cannot be known")), "{:?}", report.notes);
}

#[test]
fn shed_numbers_are_counted_by_reason_and_are_not_missing() {
    let gaps = [shed(9, 14, "buffer_full"), shed(15, 18, "spool_full")];
    let verdict = verdict_on(OLD, with_gaps(&[(1, 10), (21, 30)], &gaps));
    assert_eq!(verdict.shed, [("buffer_full".into(), 4), ("spool_full".into(), 4)].into());
    assert_eq!((verdict.shed_but_here, verdict.missing.runs), (2, vec![(19, 20)]));
    assert_eq!(verdict.doubled.count, 0);
}

#[test]
fn shed_numbers_may_be_the_first_and_the_last() {
    let verdict = verdict_on(&young(), with_gaps(&[(4, 6)], &[shed(1, 3, "spool_full"), shed(7, 9, "spool_full")]));
    assert!(verdict.is_whole());
    assert_eq!((verdict.issued, verdict.in_table, verdict.shed_total()), (9, 3, 6));
}

#[test]
fn doubled_two_rows_have_one_number() {
    let mut producer = observed(&[(1, 10)]);
    producer.account.doubled = runs(&[(7, 8)]);
    producer.account.rows += 2;
    let report = judged(&evidence([(OLD, producer)]));
    assert!(!report.whole);
    let verdict = &report.producers[0];
    assert_eq!((verdict.doubled.count, verdict.copies, report.totals.doubled), (2, 2, 2));
    assert!(verdict.doubled_example.as_ref().expect("example").ends_with("seq = 7"));
}

#[test]
fn doubled_two_gaps_declare_one_number() {
    let gaps = [shed(11, 14, "spool_full"), shed(13, 16, "spool_full")];
    let verdict = verdict_on(OLD, with_gaps(&[(1, 10)], &gaps));
    assert_eq!(verdict.doubled.runs, [(13, 14)]);
    assert_eq!(verdict.shed_total(), 6, "each number counts once");
}

#[test]
fn doubled_numbers_outside_of_the_range_are_another_ranges_affair() {
    let mut producer = observed(&[(90, 110)]);
    producer.account.doubled = runs(&[(92, 92)]);
    (producer.first, producer.before) = (Some(100), Some(99));
    assert!(verdict_on(OLD, producer).is_whole());
}

#[test]
fn set_aside_numbers_lie_in_a_folder_and_are_not_missing() {
    let mut evidence = evidence([(OLD, observed(&[(1, 3), (9, 12)]))]);
    let of = |numbers: Runs| [(OLD.to_owned(), numbers)].into();
    evidence.aside = SetAsideFolders::default();
    evidence.aside.add("quarantine", of(runs(&[(5, 6)])));
    evidence.aside.add("spool", of(runs(&[(6, 7), (2, 2)])));
    let report = judged(&evidence);
    let verdict = &report.producers[0];
    let places: Vec<_> =
        verdict.set_aside.iter().map(|aside| (aside.place.as_str(), aside.numbers.runs.clone())).collect();
    assert_eq!(places, [("quarantine", vec![(5, 6)]), ("spool", vec![(7, 7)])], "each counts once");
    assert_eq!((&verdict.missing.runs, report.totals.set_aside), (&vec![(4, 4), (8, 8)], 3));
    assert!(!report.whole);
}

#[test]
fn dead_letters_are_noted_and_those_of_another_sink_excuse_nothing() {
    let mut evidence = evidence([(OLD, observed(&[(1, 3), (5, 6)]))]);
    evidence.letters = DeadLetters::default();
    evidence.letters.add("spans", OLD, &runs(&[(4, 4)]));
    let report = judged(&evidence);
    assert_eq!(report.totals.missing, 1, "the table has no right to lack what the spans sink refused");
    assert!(report.notes.iter().any(|note| note.starts_with("1 numbers are in the dead letters of the spans sink")));
}

#[test]
fn a_producer_is_live_silent_or_ended() {
    let mut producer = observed(&[(1, 3)]);
    assert_eq!(verdict_on(OLD, producer.clone()).state, State::Silent);
    let later = format!("edge-1/{:x}/0", 0x660);
    let other_node = format!("edge-2/{:x}/0", 0x660);
    let state = |producer: &Observed, other: &str| {
        let report = judged(&evidence([(OLD, producer.clone()), (other, observed(&[(1, 1)]))]));
        report.producers.iter().find(|verdict| verdict.producer == OLD).expect("verdict").state
    };
    assert_eq!((state(&producer, &later), state(&producer, &other_node)), (State::Ended, State::Silent));
    producer.newest_us = Some(SETTLED_US);
    assert_eq!(state(&producer, &later), State::Live, "both run for a while when one takes over from the other");
}

#[test]
fn a_producer_without_rows_in_the_range_has_no_verdict() {
    let around = Observed { last: None, ..observed(&[(1, 3)]) };
    let report = judged(&evidence([(OLD, around)]));
    assert!(report.whole && report.producers.is_empty());
}

proptest! {
    /// Each number from the first to the last is in exactly one of: table, shed, open, set aside, missing.
    #[test]
    fn it_adds_up(
        records in prop::collection::btree_set(1_i64..120, 1..60),
        gaps in prop::collection::vec((1_i64..120, 0_i64..9), 0..6),
        aside in prop::collection::btree_set(1_i64..120, 0..20),
        settled in prop::option::of(1_i64..120),
        before in prop::option::of(0_i64..40),
        is_young in any::<bool>(),
    ) {
        let single = |number: &i64| (*number, *number);
        let mut gaps: Vec<_> = gaps.iter().map(|(first, more)| shed(*first, first + more, "spool_full")).collect();
        gaps.sort_unstable();
        let mut producer = with_gaps(&records.iter().map(single).collect::<Vec<_>>(), &gaps);
        (producer.settled, producer.before) = (settled, before);
        let name = if is_young { young() } else { OLD.to_owned() };
        let mut evidence = evidence([(&name, producer.clone())]);
        let aside_runs = runs(&aside.iter().map(single).collect::<Vec<_>>());
        evidence.aside.add("spool", [(name.clone(), aside_runs.clone())].into());
        let totals = judged(&evidence).totals;
        prop_assert_eq!(
            totals.issued,
            totals.in_table + totals.shed + totals.open + totals.set_aside + totals.missing
        );
        // And what is missing is what no other evidence has.
        let verdict = &judged(&evidence).producers[0];
        for (first, last) in &verdict.missing.runs {
            for number in *first..=*last {
                prop_assert!(!records.contains(&number) && !aside.contains(&number));
                prop_assert!(gaps.iter().all(|gap| !(gap.run.first..=gap.run.last).contains(&number)));
                prop_assert!(settled.is_some_and(|settled| number <= settled));
            }
        }
    }
}

#[test]
fn accounts_that_cover_no_time_of_the_range_change_nothing() {
    let mut producer = observed(&[(1, 10)]);
    producer.merge(Observed { account: Account::default(), newest_us: Some(SINCE_US), ..Observed::default() });
    let verdict = verdict_on(&young(), producer);
    assert_eq!((verdict.issued, verdict.newest_us), (10, Some(SETTLED_US - 1)));
}
