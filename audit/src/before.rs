//! The last number of each producer before the range: where its numbers in the range must go on.
//!
//! ```text
//!   yesterday … 98 99 │ ✗ ✗ ✗ 103 104 … today      the range of today begins with 100, not with 103
//! ```
//! Without it, what is lost around a cut in time would be in no range: neither the audit of one day nor that of the next
//! would miss it.

use tollgate_record::id::ProducerName;

use crate::answer::{Columns, Cost, Table, ask};
use crate::contents::Contents;
use crate::error::AuditError;
use crate::observed::{ByProducer, Observed};
use crate::range::Range;
use crate::scope::Scope;
use crate::sql::{self, AROUND_US};
use crate::time::{DAY_US, day_us};

/// Days before the range that are searched for the last number of a producer that was silent shortly before it.
const LOOK_BACK_DAYS_MAX: usize = 7;

/// Finds the last number before the range of producers that started before it and have none around it, a day at a time.
pub(crate) fn look_back(
    table: &dyn Table,
    range: &Range,
    scope: &Scope,
    contents: &Contents,
    observed: &mut ByProducer<Observed>,
    cost: &mut Cost,
) -> Result<(), AuditError> {
    for (from, to) in days_before(contents, range) {
        if !observed.iter().any(|(name, observed)| scope.reports(name) && lacks_before(name, observed, range)) {
            break;
        }
        for batch in ask(table, &sql::last_before(scope, (Some(from), Some(to))), cost)? {
            let columns = Columns(&batch);
            for row in 0..batch.num_rows() {
                cost.rows += columns.rows_read(row)?;
                if let Some(known) = observed.get_mut(&columns.producer(row)?) {
                    known.before = known.before.max(columns.number("before_seq", row)?);
                }
            }
        }
    }
    Ok(())
}

/// Whether a producer has numbers in the range, had some before it, and the last of those is not known.
fn lacks_before(name: &str, observed: &Observed, range: &Range) -> bool {
    let started_before = |since| ProducerName::parse(name).is_ok_and(|name| name.start_us < since);
    observed.last.is_some() && observed.before.is_none() && range.since_us.is_some_and(started_before)
}

/// The days before what is read around the range, the youngest first.
fn days_before(contents: &Contents, range: &Range) -> Vec<(i64, i64)> {
    let Some(end) = range.since_us.map(|since| since - AROUND_US) else { return Vec::new() };
    let starts = contents.days.iter().rev().filter_map(|day| day_us(&day.date)).filter(|start| *start < end);
    starts.map(|start| (start, end.min(start + DAY_US))).take(LOOK_BACK_DAYS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::Day;

    #[test]
    fn days_before_the_range_come_youngest_first_and_end_where_reading_began() {
        let dates = ["1970-01-02", "1970-01-03", "1970-01-05", "1970-01-06"];
        let days = dates.into_iter().map(|date| Day { date: date.to_owned(), rows: 1 }).collect();
        let contents = Contents { days, ..Contents::default() };
        let all = Range { since_us: None, until_us: None, settled_before_us: 0, now_us: 0 };
        assert!(days_before(&contents, &all).is_empty());
        let noon = 4 * DAY_US + DAY_US / 2;
        let some = Range { since_us: Some(noon), ..all };
        let expected = [(4 * DAY_US, noon - AROUND_US), (2 * DAY_US, 3 * DAY_US), (DAY_US, 2 * DAY_US)];
        assert_eq!(days_before(&contents, &some), expected);
        let seen = Observed { last: Some(9), ..Observed::default() };
        assert!(lacks_before("edge-1/1/0", &seen, &some) && !lacks_before("edge-1/1/0", &seen, &all));
        assert!(!lacks_before(&format!("edge-1/{noon:x}/0"), &seen, &some), "it begins with 1");
        assert!(!lacks_before("edge-1/1/0", &Observed { before: Some(3), ..seen }, &some));
    }
}
