//! What the numbers of one producer say: pure, from what was read to what is told.
//!
//! ```text
//!   first ............................. settled ............ last
//!     │ every number has a record, or a gap declares it;        │ beyond it nothing is known of a producer
//!     │ what has neither is missing        │ … is open          │
//! ```
//! A number below that of a request which began more than the settling time ago was given before it. Its own transaction
//! has ended since, for none takes longer; so its record is not late, it is missing. That needs no clock but the producer's.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_queries::account::Account;
use tollgate_record::id::ProducerName;
use tollgate_record::runs::{Run, Runs};

/// What was read of one producer.
#[derive(Debug, Clone, Default)]
pub struct Seen {
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

impl Seen {
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

/// What is known of a producer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its newest row is younger than the settling time.
    Live,
    /// Its node has started again since: it gives no more numbers.
    Ended,
    /// Nothing was heard of it for longer, and no later start of its node is known: idle, cut off or dead.
    Silent,
}

impl State {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Silent => "silent",
        }
    }
}

/// Some numbers, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// How many.
    pub count: u64,
    /// Which: first and last of each run.
    pub runs: Vec<(i64, i64)>,
}

impl Numbers {
    /// Of a set.
    pub fn of(runs: &Runs) -> Self {
        Self { count: runs.count(), runs: runs.runs().iter().map(|run| (run.first, run.last)).collect() }
    }
}

/// Numbers that are not where they belong, but in files of which somebody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// The folder, and why they are there.
    pub place: String,
    /// Which.
    pub numbers: Numbers,
}

/// A producer against Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KafkaVerdict {
    /// Rows of the table that are in Kafka too.
    pub present: u64,
    /// Rows of the table that are not, and that the sink is past.
    pub missing: Numbers,
    /// Rows of the table that are not yet: the sink is behind, or they are younger than the settling time.
    pub pending: Numbers,
    /// Rows that the sink refused: in its dead letters.
    pub dead_lettered: u64,
    /// Messages beyond the first of each number. Delivery to Kafka is at least once.
    pub copies: u64,
    /// Numbers in Kafka, within those of the range, that the table does not have.
    pub beyond_table: Numbers,
    /// Settled records of the range that Kafka has and the table has not, those beyond its highest number too: they were
    /// received, and lost.
    pub not_in_table: Numbers,
}

/// What is told of one producer.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its name: node, start and worker.
    pub producer: String,
    /// Whether more is to come.
    pub state: State,
    /// The first number of the range.
    pub first_seq: i64,
    /// Whether the first number must be 1, because the producer started within the range.
    pub started_in_range: bool,
    /// The highest number seen.
    pub last_seq: i64,
    /// Numbers from the first to the highest.
    pub issued: u64,
    /// Numbers that have a record.
    pub in_table: u64,
    /// Records among all that were read of handshakes that failed.
    pub handshakes_failed: u64,
    /// Numbers that gaps declare as shed and that have no record, by reason.
    pub shed: BTreeMap<String, u64>,
    /// Numbers that a gap declares as shed and that have a record all the same.
    pub shed_but_here: u64,
    /// Without record or gap, but too young to say.
    pub open: Numbers,
    /// Set aside in a folder that was looked into.
    pub set_aside: Vec<SetAside>,
    /// Without record or gap, for good as far as is known.
    pub missing: Numbers,
    /// Numbers that have more than one row.
    pub doubled: Numbers,
    /// Rows beyond the first of each number.
    pub copies: u64,
    /// A query that shows one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubled_example: Option<String>,
    /// Time of its newest row, in microseconds since 1970.
    pub newest_us: Option<i64>,
    /// Against Kafka, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaVerdict>,
}

impl Verdict {
    /// Whether each number is accounted for, once.
    pub fn is_whole(&self) -> bool {
        let in_kafka =
            self.kafka.as_ref().is_none_or(|kafka| kafka.missing.count == 0 && kafka.not_in_table.count == 0);
        self.missing.count == 0 && self.doubled.count == 0 && in_kafka
    }

    /// Numbers that gaps declare, all reasons together.
    pub fn shed_total(&self) -> u64 {
        self.shed.values().sum()
    }
}

/// What the verdicts depend on besides the rows.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Producers that started at or after this must begin with 1.
    pub complete_from_us: i64,
    /// What began before this is settled.
    pub settled_before_us: i64,
}

/// The verdict on one producer; `None` if it has nothing in the range. `later_start_us` is the newest start of its node;
/// `aside` are the numbers found in folders.
pub fn verdict(
    name: &str,
    seen: &Seen,
    terms: &Terms,
    later_start_us: Option<i64>,
    aside: &[(String, Runs)],
) -> Option<Verdict> {
    let last = seen.last?;
    let start_us = ProducerName::parse(name).ok().map(|name| name.start_us);
    let started_in_range = start_us.is_some_and(|start| start >= terms.complete_from_us);
    let lowest = seen.first.or_else(|| seen.account.shed.first().map(|shed| shed.run.first)).unwrap_or(last);
    // Its numbers go on where they ended before the range: what is lost in between belongs to the range that follows.
    let begins = if started_in_range { Some(1) } else { seen.before.map(|before| before.saturating_add(1)) };
    let first = begins.map_or(lowest, |begins| lowest.min(begins));
    let is_ended = start_us.zip(later_start_us).is_some_and(|(start, later)| later > start);
    let is_young = seen.newest_us.is_some_and(|newest| newest >= terms.settled_before_us);
    let state = match (is_young, is_ended) {
        (true, _) => State::Live,
        (false, true) => State::Ended,
        (false, false) => State::Silent,
    };
    let holes = seen.account.holes(first, last);
    let settled = seen.settled.map_or_else(Runs::default, |settled| holes.within(first, settled));
    let open = holes.without(&settled);
    let mut missing = settled;
    let mut set_aside = Vec::new();
    for (place, numbers) in aside {
        let found = missing.intersection(numbers);
        if !found.is_empty() {
            missing = missing.without(&found);
            set_aside.push(SetAside { place: place.clone(), numbers: Numbers::of(&found) });
        }
    }
    let here = seen.account.runs.within(first, last);
    let declared = seen.account.shed_runs().within(first, last);
    let doubled = seen.account.doubled.union(&twice_declared(&seen.account)).within(first, last);
    let example = doubled.first().map(|seq| {
        format!(
            "SELECT time, kind, request_id, status, service FROM transactions WHERE producer = '{name}' AND seq = {seq}"
        )
    });
    Some(Verdict {
        producer: name.to_owned(),
        state,
        first_seq: first,
        started_in_range,
        last_seq: last,
        issued: Runs::between(first, last).count(),
        in_table: here.count(),
        handshakes_failed: seen.account.handshakes_failed,
        shed: shed_by_reason(&seen.account, first, last),
        shed_but_here: declared.intersection(&here).count(),
        open: Numbers::of(&open),
        set_aside,
        missing: Numbers::of(&missing),
        copies: seen.account.copies(),
        doubled: Numbers::of(&doubled),
        doubled_example: example,
        newest_us: seen.newest_us,
        kafka: None,
    })
}

/// Numbers that two gap rows declare.
fn twice_declared(account: &Account) -> Runs {
    let mut twice = Runs::default();
    let mut reach: Option<i64> = None;
    for shed in &account.shed {
        let Run { first, last } = shed.run;
        if let Some(reached) = reach.filter(|reached| first <= *reached) {
            twice = twice.union(&Runs::between(first, last.min(reached)));
        }
        reach = reach.max(Some(last));
    }
    twice
}

/// Numbers without a record that gaps declare, each once, by the reason of the first gap that does.
fn shed_by_reason(account: &Account, first: i64, last: i64) -> BTreeMap<String, u64> {
    let mut by_reason: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    for shed in &account.shed {
        by_reason.entry(&shed.reason).or_default().push(shed.run);
    }
    let mut told = account.runs.clone();
    let mut counts = BTreeMap::new();
    for (reason, runs) in by_reason {
        let runs = Runs::of(runs).within(first, last).without(&told);
        told = told.union(&runs);
        if !runs.is_empty() {
            counts.insert(reason.to_owned(), runs.count());
        }
    }
    counts
}

/// The rows that Kafka must have of a producer: one message for each record, and one for each gap row at its first number.
pub fn expected_in_kafka(seen: &Seen, verdict: &Verdict) -> Runs {
    let gaps = seen.account.shed.iter().map(|shed| Run { first: shed.run.first, last: shed.run.first }).collect();
    seen.account.runs.union(&gaps).within(verdict.first_seq, verdict.last_seq)
}

/// What Kafka has of a producer, held against the table. `is_behind`: the sink has frames before it.
pub fn against_kafka(
    expected: &Runs,
    consumed: &tollgate_queries::account::Numbers,
    verdict: &Verdict,
    settled: Option<i64>,
    dead_letters: &Runs,
    is_behind: bool,
) -> KafkaVerdict {
    let numbers = consumed.runs().within(verdict.first_seq, verdict.last_seq);
    let absent = expected.without(&numbers);
    let dead = absent.intersection(dead_letters);
    let absent = absent.without(&dead);
    let settled = settled.map_or_else(Runs::default, |settled| absent.within(verdict.first_seq, settled));
    let missing = if is_behind { Runs::default() } else { settled };
    KafkaVerdict {
        present: expected.intersection(&numbers).count(),
        pending: Numbers::of(&absent.without(&missing)),
        missing: Numbers::of(&missing),
        dead_lettered: dead.count(),
        copies: consumed.added().saturating_sub(consumed.runs().count()),
        beyond_table: Numbers::of(&numbers.without(expected)),
        not_in_table: Numbers::default(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_queries::account::Shed;

    use super::*;

    const START: i64 = 0x65f;
    const NAME: &str = "edge-1/65f/0";
    const TERMS: Terms = Terms { complete_from_us: START + 1, settled_before_us: 1_000 };

    fn runs(pairs: &[(i64, i64)]) -> Runs {
        pairs.iter().map(|(first, last)| Run { first: *first, last: *last }).collect()
    }

    /// A producer with these numbers, all of them settled.
    fn seen(pairs: &[(i64, i64)]) -> Seen {
        let runs = runs(pairs);
        let (first, last) = (runs.first(), runs.last());
        let account = Account { rows: runs.count(), runs, ..Account::default() };
        Seen { account, before: None, first, last, settled: last, newest_us: Some(999) }
    }

    fn shed(first: i64, last: i64, reason: &str) -> Shed {
        Shed { run: Run { first, last }, reason: reason.to_owned() }
    }

    fn judged(seen: &Seen) -> Verdict {
        verdict(NAME, seen, &TERMS, None, &[]).expect("in the range")
    }

    #[test]
    fn holes_are_open_until_a_later_request_has_settled() {
        let mut producer = seen(&[(100, 110), (113, 120), (122, 130)]);
        producer.settled = Some(118);
        let told = judged(&producer);
        assert_eq!((told.missing.runs, told.open.runs), (vec![(111, 112)], vec![(121, 121)]));
        assert_eq!((told.issued, told.in_table, told.state), (31, 28, State::Silent));
        producer.settled = None;
        let told = judged(&producer);
        assert_eq!((told.missing.count, told.open.count), (0, 3));
    }

    #[test]
    fn a_producer_that_started_in_the_range_must_begin_with_one() {
        let producer = seen(&[(4, 10)]);
        assert_eq!(judged(&producer).missing.count, 0, "it may have begun before what is kept");
        let within = Terms { complete_from_us: START, ..TERMS };
        let told = verdict(NAME, &producer, &within, None, &[]).expect("in the range");
        assert_eq!((told.missing.runs, told.first_seq, told.issued), (vec![(1, 3)], 1, 10));
    }

    #[test]
    fn a_loss_around_a_cut_in_time_is_missing_in_the_range_that_follows() {
        let mut producer = seen(&[(95, 99), (103, 110)]);
        producer.first = Some(103);
        assert_eq!(judged(&producer).missing.count, 0, "nothing is known of what was before");
        producer.before = Some(99);
        let told = judged(&producer);
        assert_eq!((told.first_seq, told.missing.runs, told.issued), (100, vec![(100, 102)], 11));
        // Numbers and times are not in the same order: one before the cut may be higher.
        producer.before = Some(105);
        assert_eq!(judged(&producer).first_seq, 103);
        // A producer of this range begins with 1, whatever else.
        let within = Terms { complete_from_us: START, ..TERMS };
        let told = verdict(NAME, &producer, &within, None, &[]).expect("in the range");
        assert_eq!(told.first_seq, 1);
    }

    #[test]
    fn what_was_shed_is_counted_by_reason_and_is_not_missing() {
        let mut producer = seen(&[(1, 10), (21, 30)]);
        producer.account.shed =
            vec![shed(9, 14, "buffer_full"), shed(15, 18, "spool_full"), shed(15, 18, "spool_full")];
        let told = judged(&producer);
        assert_eq!(told.shed, BTreeMap::from([("buffer_full".into(), 4), ("spool_full".into(), 4)]));
        assert_eq!((told.shed_but_here, told.missing.runs.clone()), (2, vec![(19, 20)]));
        assert_eq!(told.doubled.runs, [(15, 18)], "two gap rows say the same");
        assert_eq!(told.in_table + told.shed_total() + told.missing.count, told.issued);
    }

    #[test]
    fn a_double_is_shown_with_a_query() {
        let mut producer = seen(&[(1, 10)]);
        producer.account.doubled = runs(&[(7, 8)]);
        producer.account.rows += 2;
        let told = judged(&producer);
        assert!(!told.is_whole());
        assert_eq!((told.doubled.count, told.copies), (2, 2));
        assert!(told.doubled_example.expect("example").ends_with("seq = 7"));
    }

    #[test]
    fn its_node_starting_again_ends_a_producer_once_it_is_silent() {
        let mut producer = seen(&[(1, 3)]);
        let of =
            |producer: &Seen, later| verdict(NAME, producer, &TERMS, Some(later), &[]).expect("in the range").state;
        assert_eq!((of(&producer, START + 5), of(&producer, START)), (State::Ended, State::Silent));
        producer.newest_us = Some(1_000);
        assert_eq!(of(&producer, START + 5), State::Live, "both run for a while when one takes over");
    }

    #[test]
    fn what_lies_in_a_folder_is_not_missing() {
        let producer = seen(&[(1, 3), (9, 12)]);
        let aside = [("dlq/table".to_owned(), runs(&[(5, 6)])), ("spool".to_owned(), runs(&[(6, 7)]))];
        let told = verdict(NAME, &producer, &TERMS, None, &aside).expect("in the range");
        let places: Vec<_> =
            told.set_aside.iter().map(|aside| (aside.place.as_str(), aside.numbers.runs.clone())).collect();
        assert_eq!(places, [("dlq/table", vec![(5, 6)]), ("spool", vec![(7, 7)])]);
        assert_eq!(told.missing.runs, [(4, 4), (8, 8)]);
    }

    #[test]
    fn kafka_must_have_each_row_and_may_have_it_twice() {
        let mut producer = seen(&[(1, 6), (10, 12)]);
        producer.account.shed = vec![shed(7, 9, "buffer_full")];
        producer.settled = Some(11);
        let told = judged(&producer);
        let expected = expected_in_kafka(&producer, &told);
        assert_eq!(expected, runs(&[(1, 7), (10, 12)]));
        let mut consumed = tollgate_queries::account::Numbers::default();
        for seq in [1, 2, 2, 3, 7, 11, 9] {
            consumed.add(seq);
        }
        let kafka = against_kafka(&expected, &consumed, &told, producer.settled, &runs(&[(4, 4)]), false);
        assert_eq!((kafka.present, kafka.copies, kafka.dead_lettered), (5, 1, 1));
        assert_eq!((kafka.missing.runs.clone(), kafka.pending.runs.clone()), (vec![(5, 6), (10, 10)], vec![(12, 12)]));
        assert_eq!(kafka.beyond_table.runs, [(9, 9)]);
        let behind = against_kafka(&expected, &consumed, &told, producer.settled, &Runs::default(), true);
        assert_eq!((behind.missing.count, behind.pending.count), (0, 5));
    }
}
