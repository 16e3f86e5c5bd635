//! What the numbers of one producer say: pure, from what was observed to a verdict.
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
use tollgate_account::Account;
use tollgate_record::id::ProducerName;
use tollgate_record::runs::{Run, Runs};

use crate::observed::Observed;

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
    /// The word that is printed.
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
pub struct CountedRuns {
    /// How many.
    pub count: u64,
    /// First and last number of each run.
    pub runs: Vec<(i64, i64)>,
}

impl CountedRuns {
    /// Counts a set.
    pub fn of(runs: &Runs) -> Self {
        Self { count: runs.count(), runs: runs.runs().iter().map(|run| (run.first, run.last)).collect() }
    }
}

/// Numbers whose records are not in the table, but in a folder that was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// The folder, and why they are there.
    pub place: String,
    /// Which numbers.
    pub numbers: CountedRuns,
}

/// A producer against Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KafkaVerdict {
    /// Rows of the table that are in Kafka too.
    pub present: u64,
    /// Rows of the table that are not, and that the sink is past.
    pub missing: CountedRuns,
    /// Rows of the table that are not yet: the sink is behind, or they are younger than the settling time.
    pub pending: CountedRuns,
    /// Rows that the sink refused: in its dead letters.
    pub dead_lettered: u64,
    /// Messages beyond the first of each number. Delivery to Kafka is at least once.
    pub copies: u64,
    /// Numbers in Kafka, within those of the range, that the table does not have.
    pub beyond_table: CountedRuns,
    /// Settled records of the range that Kafka has and the table has not, those beyond its highest number too: they were
    /// received, and lost.
    pub not_in_table: CountedRuns,
}

/// The verdict on one producer.
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
    /// Numbers without record or gap that are too young to be called missing.
    pub open: CountedRuns,
    /// Numbers set aside in a folder that was looked into.
    pub set_aside: Vec<SetAside>,
    /// Numbers without record or gap, for good as far as is known.
    pub missing: CountedRuns,
    /// Numbers that have more than one row.
    pub doubled: CountedRuns,
    /// Rows beyond the first of each number.
    pub copies: u64,
    /// A query that shows one of the doubled numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubled_example: Option<String>,
    /// Time of its newest row, in microseconds since 1970.
    pub newest_us: Option<i64>,
    /// The producer against Kafka, if that was asked for.
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

    /// Numbers set aside, in all folders together.
    pub fn set_aside_total(&self) -> u64 {
        self.set_aside.iter().map(|aside| aside.numbers.count).sum()
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
    observed: &Observed,
    terms: &Terms,
    later_start_us: Option<i64>,
    aside: &[(String, Runs)],
) -> Option<Verdict> {
    let last = observed.last?;
    let account = &observed.account;
    let start_us = ProducerName::parse(name).ok().map(|name| name.start_us);
    let started_in_range = start_us.is_some_and(|start| start >= terms.complete_from_us);
    let first = first_number(observed, started_in_range, last);
    let is_ended = start_us.zip(later_start_us).is_some_and(|(start, later)| later > start);
    let holes = account.holes(first, last);
    let settled = observed.settled.map_or_else(Runs::default, |settled| holes.within(first, settled));
    let open = holes.without(&settled);
    let (missing, set_aside) = without_set_aside(settled, aside);
    let here = account.runs.within(first, last);
    let declared = account.shed_runs().within(first, last);
    let doubled = account.doubled.union(&twice_declared(account)).within(first, last);
    Some(Verdict {
        producer: name.to_owned(),
        state: state(observed, terms, is_ended),
        first_seq: first,
        started_in_range,
        last_seq: last,
        issued: Runs::between(first, last).count(),
        in_table: here.count(),
        handshakes_failed: account.handshakes_failed,
        shed: shed_by_reason(account, first, last),
        shed_but_here: declared.intersection(&here).count(),
        open: CountedRuns::of(&open),
        set_aside,
        missing: CountedRuns::of(&missing),
        copies: account.copies(),
        doubled_example: doubled.first().map(|seq| example_query(name, seq)),
        doubled: CountedRuns::of(&doubled),
        newest_us: observed.newest_us,
        kafka: None,
    })
}

/// The first number of the range. A producer's numbers go on where they ended before the range: what is lost in between belongs
/// to the range that follows.
fn first_number(observed: &Observed, started_in_range: bool, last: i64) -> i64 {
    let lowest = observed.first.or_else(|| observed.account.shed.first().map(|shed| shed.run.first)).unwrap_or(last);
    let begins = if started_in_range { Some(1) } else { observed.before.map(|before| before.saturating_add(1)) };
    begins.map_or(lowest, |begins| lowest.min(begins))
}

fn state(observed: &Observed, terms: &Terms, is_ended: bool) -> State {
    let is_young = observed.newest_us.is_some_and(|newest| newest >= terms.settled_before_us);
    match (is_young, is_ended) {
        // Also when its node has started again: both processes run for a while when one takes over from the other.
        (true, _) => State::Live,
        (false, true) => State::Ended,
        (false, false) => State::Silent,
    }
}

/// Takes the numbers found in folders out of those that are missing; each counts for the first folder that has it.
fn without_set_aside(mut missing: Runs, aside: &[(String, Runs)]) -> (Runs, Vec<SetAside>) {
    let mut set_aside = Vec::new();
    for (place, numbers) in aside {
        let found = missing.intersection(numbers);
        if !found.is_empty() {
            missing = missing.without(&found);
            set_aside.push(SetAside { place: place.clone(), numbers: CountedRuns::of(&found) });
        }
    }
    (missing, set_aside)
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
    let mut counted = account.runs.clone();
    let mut counts = BTreeMap::new();
    for (reason, runs) in by_reason {
        let runs = Runs::of(runs).within(first, last).without(&counted);
        counted = counted.union(&runs);
        if !runs.is_empty() {
            counts.insert(reason.to_owned(), runs.count());
        }
    }
    counts
}

fn example_query(producer: &str, seq: i64) -> String {
    format!(
        "SELECT time, kind, request_id, status, service FROM transactions WHERE producer = '{producer}' AND seq = {seq}"
    )
}
