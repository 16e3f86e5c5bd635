//! Evidence in, verdict out: each case that docs/audit.md promises to tell apart.

mod kafka;
mod report;
mod table;

use tollgate_account::{Account, Shed};
use tollgate_audit::{ByProducer, Contents, Day, Evidence, Observed, Range, Report, Request, Scope, judge};
use tollgate_record::runs::{Run, Runs};

/// A start at which nothing is kept yet: its producer may have begun before what is kept.
const OLD: &str = "edge-1/65f/0";
/// When the range begins, and the table: 1970-01-02.
const SINCE_US: i64 = 86_400_000_000;
/// What began before this is settled.
const SETTLED_US: i64 = SINCE_US + 3_600_000_000;

/// A producer of `edge-1` that started in the range.
fn young() -> String {
    format!("edge-1/{:x}/0", SINCE_US + 1)
}

fn runs(pairs: &[(i64, i64)]) -> Runs {
    pairs.iter().map(|(first, last)| Run { first: *first, last: *last }).collect()
}

fn shed(first: i64, last: i64, reason: &str) -> Shed {
    Shed { run: Run { first, last }, reason: reason.to_owned() }
}

/// A producer with records of these numbers, all of them settled, which has been silent since.
fn observed(pairs: &[(i64, i64)]) -> Observed {
    let runs = runs(pairs);
    let (first, last) = (runs.first(), runs.last());
    let account = Account { rows: runs.count(), runs, ..Account::default() };
    Observed { account, before: None, first, last, settled: last, newest_us: Some(SETTLED_US - 1) }
}

/// A producer's records and the gaps that it declared.
fn with_gaps(pairs: &[(i64, i64)], gaps: &[Shed]) -> Observed {
    let mut observed = observed(pairs);
    observed.account.shed = gaps.to_vec();
    observed.last = observed.last.max(gaps.iter().map(|gap| gap.run.last).max());
    observed.settled = observed.last;
    observed
}

/// What was read of these producers, from a table that keeps the whole range.
fn evidence<const N: usize>(producers: [(&str, Observed); N]) -> Evidence {
    let observed: ByProducer<Observed> =
        producers.into_iter().map(|(name, observed)| (name.to_owned(), observed)).collect();
    let contents = Contents { days: vec![Day { date: "1970-01-02".to_owned(), rows: 1 }], ..Contents::default() };
    Evidence { observed, contents, ..Evidence::default() }
}

/// All producers, from the first day that is kept on.
fn request() -> Request {
    let range = Range { since_us: None, until_us: None, settled_before_us: SETTLED_US, now_us: 2 * SETTLED_US };
    Request { range, scope: Scope::default() }
}

fn judged(evidence: &Evidence) -> Report {
    judge(&request(), evidence).expect("a report")
}
