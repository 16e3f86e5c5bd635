//! Finds the transactions that carry an id.

use std::ops::ControlFlow;

use chrono::{DateTime, Datelike};
use datafusion::sql::sqlparser::ast::{Expr, Value, visit_expressions_mut};
use serde::de::DeserializeOwned;
use serde_json::Map;
use tollgate_record::id::RequestId;

use super::absent::{self, Absent};
use super::explain::{stages, summary, to_act};
use super::ids::Id;
use super::row::{COLUMNS, Row};
use super::story::{Match, Story};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::result::Format;

/// Transactions that one story lists.
const MATCHES_MAX: usize = 50;

/// Finds what happened to a request id, trace id or correlation id.
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
    let (records, warnings) = records_of(engine, &sql, &[("$id", BoundValue::Text(id))]).await?;
    let more = records.len() > MATCHES_MAX;
    let matches = records.into_iter().take(MATCHES_MAX).map(explained).collect::<Result<Vec<_>, _>>()?;
    let absent = matches.is_empty().then(|| Absent::NoMatch { resembles: Id::resembles(id) });
    Ok(Story { id: id.to_owned(), id_kind: column, matches, more, absent, warnings })
}

fn explained(mut record: Map<String, serde_json::Value>) -> Result<Match, QueryError> {
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

/// The value of a placeholder, which becomes a literal of the statement.
#[derive(Clone, Copy)]
pub(super) enum BoundValue<'v> {
    Text(&'v str),
    Number(i64),
}

/// The rows of a statement of this crate, as `T`.
pub(super) async fn rows_of<T: DeserializeOwned>(
    engine: &Engine,
    sql: &str,
    values: &[(&str, BoundValue<'_>)],
) -> Result<Vec<T>, QueryError> {
    let (records, _) = records_of(engine, sql, values).await?;
    let rows = records.into_iter().map(|record| serde_json::from_value(serde_json::Value::Object(record)));
    rows.collect::<Result<_, _>>().map_err(unreadable)
}

type Records = Vec<Map<String, serde_json::Value>>;

#[derive(serde::Deserialize)]
struct JsonAnswer {
    rows: Records,
    warnings: Vec<String>,
}

async fn records_of(
    engine: &Engine,
    sql: &str,
    values: &[(&str, BoundValue<'_>)],
) -> Result<(Records, Vec<String>), QueryError> {
    let mut statement = engine.parser().own(sql)?;
    let _replaced: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if let Expr::Value(place) = expression
            && let Value::Placeholder(name) = &place.value
            && let Some((_, value)) = values.iter().find(|(known, _)| known == name)
        {
            place.value = match value {
                BoundValue::Text(text) => Value::SingleQuotedString((*text).to_owned()),
                BoundValue::Number(number) => Value::Number(number.to_string(), false),
            };
        }
        ControlFlow::Continue(())
    });
    let result = engine.query_statement(statement).await?;
    let answer: JsonAnswer = serde_json::from_slice(&result.render(Format::Json)?).map_err(unreadable)?;
    Ok((answer.rows, answer.warnings))
}

fn unreadable(error: serde_json::Error) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("a record cannot be told: {error}"))
}

/// Milliseconds since 1970 as RFC 3339 in UTC. Those of an id have 48 bits, and so are always within the calendar. They reach
/// the year 10889, which is written without a sign, as the table's log has it.
pub(super) fn millis_text(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    format!("{:04}-{}Z", time.year(), time.format("%m-%dT%H:%M:%S%.3f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_the_calendar_has_them() {
        assert_eq!(millis_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(millis_text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(millis_text(1_795_471_199_123), "2026-11-23T21:59:59.123Z");
        assert_eq!(millis_text(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(millis_text(253_402_300_800_000), "10000-01-01T00:00:00.000Z");
        assert_eq!(millis_text((1 << 48) - 1), "10889-08-02T05:31:50.655Z");
        assert_eq!(millis_text(-62_167_219_200_001), "-001-12-31T23:59:59.999Z");
    }
}
