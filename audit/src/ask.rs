//! What the table says: `seq_account` of each producer, in pieces of a day or less.
//!
//! A row falls into one piece, by its time; accounts of pieces add up. So any range is audited within the limits of one
//! query.

use crate::answer::{Columns, Cost, Table, ask};
use crate::before::look_back;
use crate::contents::Contents;
use crate::error::AuditError;
use crate::observed::{ByProducer, Observed};
use crate::range::Range;
use crate::scope::Scope;
use crate::sql::{self, AROUND_US, Piece};
use crate::time::{DAY_US, day_us};

/// Rows of a day that one query reads at most: a day with more is read in equal parts.
const PIECE_ROWS_MAX: u64 = 50_000_000;
/// Parts of a day at most: a minute each.
const PIECES_OF_A_DAY_MAX: u64 = 1_440;

/// Reads what the range needs.
pub(crate) fn observe(
    table: &dyn Table,
    range: &Range,
    scope: &Scope,
    contents: &Contents,
) -> Result<(ByProducer<Observed>, Cost), AuditError> {
    let (mut observed, mut cost) = (ByProducer::new(), Cost::default());
    let pieces = pieces(contents, range).into_iter().map(sql::within);
    for condition in pieces.chain(range.until_us.map(sql::late_gaps)) {
        merge(table, &sql::observed(range, scope, &condition), &mut observed, &mut cost)?;
    }
    look_back(table, range, scope, contents, &mut observed, &mut cost)?;
    Ok((observed, cost))
}

fn merge(table: &dyn Table, sql: &str, observed: &mut ByProducer<Observed>, cost: &mut Cost) -> Result<(), AuditError> {
    for batch in ask(table, sql, cost)? {
        let columns = Columns(&batch);
        for row in 0..batch.num_rows() {
            cost.rows += columns.rows_read(row)?;
            observed.entry(columns.producer(row)?).or_default().merge(columns.observed(row)?);
        }
    }
    Ok(())
}

/// The range, with what is around it, cut where days begin and within days of many rows.
fn pieces(contents: &Contents, range: &Range) -> Vec<Piece> {
    let from = range.since_us.map(|since| since - AROUND_US);
    let to = range.until_us.map(|until| until + AROUND_US);
    let mut cuts: Vec<i64> = Vec::new();
    for day in &contents.days {
        let Some(start) = day_us(&day.date) else { continue };
        let parts = day.rows.div_ceil(PIECE_ROWS_MAX).clamp(1, PIECES_OF_A_DAY_MAX) as i64;
        cuts.extend((0..parts).map(|part| start + DAY_US / parts * part));
    }
    cuts.retain(|cut| from.is_none_or(|from| *cut > from) && to.is_none_or(|to| *cut < to));
    let starts = std::iter::once(from).chain(cuts.iter().copied().map(Some));
    let ends = cuts.iter().copied().map(Some).chain(std::iter::once(to));
    starts.zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::Day;

    fn contents(days: &[(&str, u64)]) -> Contents {
        let days = days.iter().map(|(date, rows)| Day { date: (*date).to_owned(), rows: *rows });
        Contents { days: days.collect(), ..Contents::default() }
    }

    #[test]
    fn pieces_cover_the_range_once_and_hold_few_enough_rows() {
        let days = contents(&[("1970-01-02", 3 * PIECE_ROWS_MAX), ("1970-01-05", 1)]);
        let all = Range { since_us: None, until_us: None, settled_before_us: 0, now_us: 0 };
        let (day, third) = (DAY_US, DAY_US / 3);
        let cuts = [day, day + third, day + 2 * third, 4 * day];
        assert_eq!(
            pieces(&days, &all),
            [
                (None, Some(cuts[0])),
                (Some(cuts[0]), Some(cuts[1])),
                (Some(cuts[1]), Some(cuts[2])),
                (Some(cuts[2]), Some(cuts[3])),
                (Some(cuts[3]), None)
            ]
        );
        let some = Range { since_us: Some(4 * day), until_us: Some(5 * day), ..all };
        assert_eq!(
            pieces(&days, &some),
            [(Some(4 * day - AROUND_US), Some(4 * day)), (Some(4 * day), Some(5 * day + AROUND_US))]
        );
        assert_eq!(pieces(&contents(&[]), &all), [(None, None)]);
    }
}
