//! What the table holds, as it says itself.

use serde::Deserialize;

use crate::answer::Table;
use crate::error::AuditError;
use crate::time::{DAY_US, day_us};

/// The parts of `GET /v1/table` that an audit needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Contents {
    /// The days of which there are files, ascending. Retention removes whole days, the oldest first.
    pub days: Vec<Day>,
    /// Rows in memory and in the journal that no file has yet.
    pub hot_rows: u64,
    /// Rows that are in the journal alone until the next commit, and in no answer.
    pub hot_evicted: u64,
}

/// One day of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Day {
    /// The UTC day, as `2026-11-23`.
    pub date: String,
    /// Its rows.
    pub rows: u64,
}

impl Contents {
    /// The time from which on nothing was removed: the start of the oldest day. Without files only today is certain.
    pub fn kept_from_us(&self, now_us: i64) -> i64 {
        let first = self.days.first().and_then(|day| day_us(&day.date));
        first.unwrap_or_else(|| now_us - now_us.rem_euclid(DAY_US))
    }
}

/// Asks the table what it holds.
pub(crate) fn contents(table: &dyn Table) -> Result<Contents, AuditError> {
    let contents =
        table.contents().map_err(|source| AuditError::Unanswered { asked: "asking what the table holds", source })?;
    Ok(serde_json::from_slice(&contents)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(days: &[(&str, u64)]) -> Contents {
        let days = days.iter().map(|(date, rows)| Day { date: (*date).to_owned(), rows: *rows });
        Contents { days: days.collect(), ..Contents::default() }
    }

    #[test]
    fn nothing_is_known_of_days_that_are_not_kept() {
        let noon = 4 * DAY_US + DAY_US / 2;
        assert_eq!(contents(&[("1970-01-02", 1), ("1970-01-05", 1)]).kept_from_us(noon), DAY_US);
        assert_eq!(contents(&[]).kept_from_us(noon), 4 * DAY_US, "without files, today");
    }

    #[test]
    fn what_the_table_says_of_itself_may_grow() {
        let text = r#"{"version": 3, "days": [{"date": "2026-11-23", "rows": 7, "first_us": 1}], "hot_rows": 2, "hot_evicted": 0}"#;
        let contents: Contents = serde_json::from_str(text).expect("contents");
        assert_eq!((contents.days[0].rows, contents.hot_rows, contents.hot_evicted), (7, 2, 0));
    }
}
