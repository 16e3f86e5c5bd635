//! The queries of an audit, as text. Only six columns are read: time, producer, seq, kind, gap_count, gap_reason.

use crate::range::Range;
use crate::scope::Scope;

/// How far around the range rows are read. A request's time is that of its first byte, and its number is given when its head
/// is complete: around a cut in time, numbers and times are not in the same order by as much as reading a head takes.
pub(crate) const AROUND_US: i64 = 10 * 60 * 1_000_000;
/// The last number that a row covers.
const LAST: &str = "seq + CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) - 1 ELSE 0 END";

/// A stretch of time; `None` = no bound.
pub(crate) type Piece = (Option<i64>, Option<i64>);

/// What the rows under a condition say of each producer.
pub(crate) fn observed(range: &Range, scope: &Scope, condition: &str) -> String {
    let in_range = within((range.since_us, range.until_us));
    let settled = time_literal(range.settled_before_us);
    let before = range.since_us.map_or_else(|| "false".to_owned(), |since| format!("time < {}", time_literal(since)));
    format!(
        "SELECT producer, seq_account(seq, kind, gap_count, gap_reason) AS account, \
         min(CASE WHEN kind <> 'gap' AND {in_range} THEN seq END) AS first_seq, \
         max(CASE WHEN {before} THEN {LAST} END) AS before_seq, \
         max(CASE WHEN {in_range} THEN {LAST} END) AS last_seq, \
         max(CASE WHEN time < {settled} THEN {LAST} END) AS settled_seq, \
         max(time) AS newest, count(*) AS read \
         FROM transactions WHERE {condition}{} GROUP BY producer",
        scope.condition()
    )
}

/// The last number of each producer in a stretch of time before the range.
pub(crate) fn last_before(scope: &Scope, piece: Piece) -> String {
    format!(
        "SELECT producer, max({LAST}) AS before_seq, count(*) AS read FROM transactions WHERE {}{} GROUP BY producer",
        within(piece),
        scope.condition()
    )
}

/// The condition that a row lies in a stretch of time.
pub(crate) fn within((from, to): Piece) -> String {
    let from = from.map(|from| format!("time >= {}", time_literal(from)));
    let to = to.map(|to| format!("time < {}", time_literal(to)));
    let both: Vec<String> = from.into_iter().chain(to).collect();
    if both.is_empty() { "true".to_owned() } else { both.join(" AND ") }
}

/// The condition on gaps long after the range. A gap is written when its records are shed, which may be long after their
/// requests began.
pub(crate) fn late_gaps(until_us: i64) -> String {
    format!("kind = 'gap' AND time >= {}", time_literal(until_us + AROUND_US))
}

fn time_literal(us: i64) -> String {
    format!("to_timestamp_micros({us})")
}
