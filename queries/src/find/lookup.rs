//! Finds the transactions that carry an id.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};
use serde::de::DeserializeOwned;
use serde_json::Map;
use tollgate_record::id::RequestId;

use super::absent::{self, Absent};
use super::ids::Id;
use super::row::{COLUMNS, Row};
use super::story::{Match, Story};
use super::words::{stages, summary, to_act};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::result::Format;

/// Transactions that one story lists.
const MATCHES_MAX: usize = 50;

/// Tells what happened to the request, trace or correlation id.
///
/// # Errors
/// If the id is empty or too long, or a query of the lookup fails; an id that nothing carries is a [`Story`] too.
pub async fn find(engine: &Engine, id: &str) -> Result<Story, QueryError> {
    match Id::parse(id)? {
        Id::Request(id) => request(engine, &id).await,
        Id::Trace(trace) => {
            let story = carrying(engine, "trace_id", &trace).await?;
            // A request id without its dashes has the form of a trace id.
            match (story.found(), RequestId::parse(&trace)) {
                (false, Ok(id)) => request(engine, &id).await,
                _ => Ok(story),
            }
        }
        Id::Correlation(id) => carrying(engine, "correlation_id", &id).await,
    }
}

async fn request(engine: &Engine, id: &RequestId) -> Result<Story, QueryError> {
    let mut story = carrying(engine, "request_id", &id.to_string()).await?;
    if !story.found() {
        story.absent = Some(absent::of_request(engine, id).await?);
    }
    Ok(story)
}

async fn carrying(engine: &Engine, column: &'static str, id: &str) -> Result<Story, QueryError> {
    let columns = COLUMNS.join(", ");
    let sql =
        format!("SELECT {columns} FROM transactions WHERE {column} = $id ORDER BY time, seq LIMIT {}", MATCHES_MAX + 1);
    let (records, warnings) = records_of(engine, &sql, &[("$id", Asked::Text(id))]).await?;
    let more = records.len() > MATCHES_MAX;
    let matches = records.into_iter().take(MATCHES_MAX).map(told).collect::<Result<Vec<_>, _>>()?;
    let absent = matches.is_empty().then(|| Absent::NoMatch { resembles: Id::resembles(id) });
    Ok(Story { id: id.to_owned(), id_kind: column, matches, more, absent, warnings })
}

fn told(mut record: Map<String, serde_json::Value>) -> Result<Match, QueryError> {
    let row: Row = serde_json::from_value(serde_json::Value::Object(record.clone())).map_err(unreadable)?;
    record.retain(|_, value| !value.is_null());
    Ok(Match {
        request_id: row.request_id.clone(),
        time: row.time.clone(),
        summary: summary(&row),
        to_act: to_act(&row),
        stages: stages(&row),
        record,
    })
}

/// A value that is put into a statement as a literal.
#[derive(Clone, Copy)]
pub(super) enum Asked<'v> {
    Text(&'v str),
    Number(i64),
}

/// The rows of a statement of ours, as `T`.
pub(super) async fn rows_of<T: DeserializeOwned>(
    engine: &Engine,
    sql: &str,
    values: &[(&str, Asked<'_>)],
) -> Result<Vec<T>, QueryError> {
    let (records, _) = records_of(engine, sql, values).await?;
    let rows = records.into_iter().map(|record| serde_json::from_value(serde_json::Value::Object(record)));
    rows.collect::<Result<_, _>>().map_err(unreadable)
}

type Records = Vec<Map<String, serde_json::Value>>;

#[derive(serde::Deserialize)]
struct Answer {
    rows: Records,
    warnings: Vec<String>,
}

async fn records_of(
    engine: &Engine,
    sql: &str,
    values: &[(&str, Asked<'_>)],
) -> Result<(Records, Vec<String>), QueryError> {
    let mut statement = engine.parser().own(sql)?;
    let _replaced: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if let Expr::Value(place) = expression
            && let Value::Placeholder(name) = &place.value
            && let Some((_, value)) = values.iter().find(|(known, _)| known == name)
        {
            place.value = match value {
                Asked::Text(text) => Value::SingleQuotedString((*text).to_owned()),
                Asked::Number(number) => Value::Number(number.to_string(), false),
            };
        }
        ControlFlow::Continue(())
    });
    let result = engine.query_statement(statement).await?;
    let answer: Answer = serde_json::from_slice(&result.render(Format::Json)?).map_err(unreadable)?;
    Ok((answer.rows, answer.warnings))
}

fn unreadable(error: serde_json::Error) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("a record cannot be told: {error}"))
}

/// Milliseconds since 1970 as RFC 3339 in UTC (days to dates after Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub(super) fn millis_text(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (of_day / 1_000, of_day % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_the_calendar_has_them() {
        assert_eq!(millis_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(millis_text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(millis_text(1_795_471_199_123), "2026-11-23T21:59:59.123Z");
    }
}
