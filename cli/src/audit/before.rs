//! The last number of each producer before the range: where its numbers in the range must go on.
//!
//! ```text
//!   yesterday … 98 99 │ ✗ ✗ ✗ 103 104 … today      the range of today begins with 100, not with 103
//! ```
//! Without it, what is lost around a cut in time would be in no range: neither the audit of one day nor that of the next
//! would miss it.

use tollgate_queries::Contents;
use tollgate_record::id::ProducerName;

use super::SeenBy;
use super::ask::{AROUND_US, Columns, Cost, DAY_US, LAST, Who, answer, day_us, piece_condition};
use super::range::Range;
use super::verdict::Seen;
use crate::door::Door;

/// Days before the range that are looked into for the last number of a producer that has none shortly before it: so that what
/// was lost around a cut in time is missing in one of the two ranges.
const LOOK_BACK_DAYS_MAX: usize = 7;

/// Finds the last number before the range of producers that started before it and have none around it, a day at a time.
pub fn look_back(
    door: &Door,
    range: &Range,
    who: &Who,
    contents: &Contents,
    seen: &mut SeenBy,
    cost: &mut Cost,
) -> anyhow::Result<()> {
    for (from, to) in days_before(contents, range) {
        if !seen.iter().any(|(name, seen)| who.is_asked(name) && lacks_before(name, seen, range)) {
            break;
        }
        let sql = format!(
            "SELECT producer, max({LAST}) AS before_seq, count(*) AS read FROM transactions WHERE {}{} GROUP BY producer",
            piece_condition(Some(from), Some(to)),
            who.condition()
        );
        for batch in answer(door, &sql)? {
            let columns = Columns(&batch);
            for row in 0..batch.num_rows() {
                cost.rows += columns.number("read", row)?.unwrap_or_default().max(0) as u64;
                if let Some(known) = seen.get_mut(&columns.producer(row)?) {
                    known.before = known.before.max(columns.number("before_seq", row)?);
                }
            }
        }
        cost.queries += 1;
    }
    Ok(())
}

/// Whether a producer has numbers in the range, had some before it, and the last of those is not known.
fn lacks_before(name: &str, seen: &Seen, range: &Range) -> bool {
    let started_before = |since| ProducerName::parse(name).is_ok_and(|name| name.start_us < since);
    seen.last.is_some() && seen.before.is_none() && range.since_us.is_some_and(started_before)
}

/// The days before what is read around the range, the youngest first.
fn days_before(contents: &Contents, range: &Range) -> Vec<(i64, i64)> {
    let Some(end) = range.since_us.map(|since| since - AROUND_US) else { return Vec::new() };
    let starts = contents.days.iter().rev().filter_map(|day| day_us(&day.date)).filter(|start| *start < end);
    starts.map(|start| (start, end.min(start + DAY_US))).take(LOOK_BACK_DAYS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use tollgate_queries::Day;

    use super::*;

    #[test]
    fn days_before_the_range_come_youngest_first_and_end_where_reading_began() {
        let day = |date: &str| Day { date: date.to_owned(), rows: 1, first_us: None, last_us: None };
        let dates = ["1970-01-02", "1970-01-03", "1970-01-05", "1970-01-06"];
        let contents = Contents {
            version: 1,
            through: None,
            files: 0,
            file_bytes: 0,
            file_rows: 0,
            days: dates.into_iter().map(day).collect(),
            hot_rows: 0,
            hot_evicted: 0,
        };
        let all = Range { since_us: None, until_us: None, settled_before_us: 0, now_us: 0 };
        assert!(days_before(&contents, &all).is_empty());
        let noon = 4 * DAY_US + DAY_US / 2;
        let some = Range { since_us: Some(noon), ..all };
        let expected = [(4 * DAY_US, noon - AROUND_US), (2 * DAY_US, 3 * DAY_US), (DAY_US, 2 * DAY_US)];
        assert_eq!(days_before(&contents, &some), expected);
        let seen = Seen { last: Some(9), ..Seen::default() };
        assert!(lacks_before("edge-1/1/0", &seen, &some) && !lacks_before("edge-1/1/0", &seen, &all));
        assert!(!lacks_before(&format!("edge-1/{noon:x}/0"), &seen, &some), "it begins with 1");
        assert!(!lacks_before("edge-1/1/0", &Seen { before: Some(3), ..seen }, &some));
    }
}
