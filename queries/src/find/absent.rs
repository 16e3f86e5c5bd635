//! Explains a request id that no record carries.

use std::fmt;

use serde::{Deserialize, Serialize};
use tollgate_record::id::{RequestId, producer_tag};

use super::lookup::{BoundValue, millis_text, rows_of};
use crate::engine::Engine;
use crate::error::QueryError;

/// What is known of an id that no record carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Absent {
    /// Its record was shed on purpose, and a gap says so.
    Shed {
        /// When the request arrived, by its id.
        time: String,
        /// Its producer.
        producer: String,
        /// Its number.
        seq: i64,
        /// Why.
        reason: String,
        /// How many records were shed with it.
        count: i64,
    },
    /// Its producer is known, and its newest record here has a lower number.
    NotYet {
        /// When the request arrived, by its id.
        time: String,
        /// Its producer.
        producer: String,
        /// Its number.
        seq: i64,
        /// The producer's newest number that is here.
        newest_seq: i64,
        /// The time of that record.
        newest_time: String,
    },
    /// Records with lower and higher numbers are here, but this one is not.
    Missing {
        /// When the request arrived, by its id.
        time: String,
        /// Its producer.
        producer: String,
        /// Its number.
        seq: i64,
        /// The nearest lower number that is here, if any.
        before_seq: Option<i64>,
        /// The producer's newest number that is here.
        newest_seq: i64,
    },
    /// No producer of that time has its tag.
    UnknownProducer {
        /// When the request arrived, by its id.
        time: String,
        /// The producer's tag, in hexadecimal.
        producer_tag: String,
        /// Its number.
        seq: i64,
    },
    /// A trace or correlation id that no record carries.
    NoMatch {
        /// The probable mistake, if it resembles an id of another kind.
        resembles: Option<String>,
    },
}

#[derive(Deserialize)]
struct ProducerRow {
    producer: String,
}

#[derive(Deserialize)]
struct GapRow {
    gap_count: Option<i64>,
    gap_reason: Option<String>,
}

#[derive(Deserialize)]
struct NeighbourRow {
    before_seq: Option<i64>,
    newest_seq: Option<i64>,
    newest_time: Option<String>,
}

/// The producers with a row within a day of the id's time.
const PRODUCERS: &str = "SELECT DISTINCT producer FROM transactions \
     WHERE time BETWEEN CAST($time AS TIMESTAMP) - INTERVAL '1 day' AND CAST($time AS TIMESTAMP) + INTERVAL '1 day'";
const GAP: &str = "SELECT gap_count, gap_reason FROM transactions \
     WHERE kind = 'gap' AND producer = $producer AND seq <= $seq AND seq + coalesce(gap_count, 1) > $seq LIMIT 1";
const AROUND: &str = "SELECT max(CASE WHEN seq < $seq THEN seq END) AS before_seq, max(seq) AS newest_seq, \
     max(time) AS newest_time FROM transactions WHERE producer = $producer";

/// Looks for gaps and for the records before and after the missing one.
pub(super) async fn of_request(engine: &Engine, id: &RequestId) -> Result<Absent, QueryError> {
    let time = millis_text(id.time_ms());
    let seq = id.seq();
    let near: Vec<ProducerRow> = rows_of(engine, PRODUCERS, &[("$time", BoundValue::Text(&time))]).await?;
    let Some(producer) = near.into_iter().map(|row| row.producer).find(|name| producer_tag(name) == id.producer_tag())
    else {
        return Ok(Absent::UnknownProducer { time, producer_tag: format!("{:08x}", id.producer_tag()), seq });
    };
    let asked = [("$producer", BoundValue::Text(&producer)), ("$seq", BoundValue::Number(seq))];
    let gaps: Vec<GapRow> = rows_of(engine, GAP, &asked).await?;
    if let Some(gap) = gaps.into_iter().next() {
        return Ok(Absent::Shed {
            time,
            producer,
            seq,
            reason: gap.gap_reason.unwrap_or_else(|| "no reason given".to_owned()),
            count: gap.gap_count.unwrap_or(1),
        });
    }
    let around: Vec<NeighbourRow> = rows_of(engine, AROUND, &asked).await?;
    let around = around.into_iter().next();
    let newest_seq = around.as_ref().and_then(|around| around.newest_seq).unwrap_or(0);
    let (before_seq, newest_time) = around.map_or((None, None), |around| (around.before_seq, around.newest_time));
    if newest_seq < seq {
        return Ok(Absent::NotYet { time, producer, seq, newest_seq, newest_time: newest_time.unwrap_or_default() });
    }
    Ok(Absent::Missing { time, producer, seq, before_seq, newest_seq })
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shed { time, producer, seq, reason, count } => write!(
                f,
                "It arrived at {time} and was number {seq} of {producer}. Its record was shed on purpose, one of {count}: \
                 {reason}. The request itself was served; only its record is gone."
            ),
            Self::NotYet { time, producer, seq, newest_seq, newest_time } => write!(
                f,
                "It arrived at {time} and is number {seq} of {producer}, whose newest record here is number {newest_seq} \
                 ({newest_time}). It has not arrived yet: a record is written when its request ends, and batches that \
                 wait in the gateway's spool come later."
            ),
            Self::Missing { time, producer, seq, before_seq, newest_seq } => {
                let before = before_seq.map_or_else(|| "none".to_owned(), |seq| seq.to_string());
                write!(
                    f,
                    "It arrived at {time} and is number {seq} of {producer}. Numbers {before} before it and up to \
                     {newest_seq} after it are here: the request is still under way, its batch is still on its way, or \
                     its record is missing. `missing-records` lists all that are."
                )
            }
            Self::UnknownProducer { time, producer_tag, seq } => write!(
                f,
                "By its form it arrived at {time} and was number {seq} of the producer with the tag {producer_tag}, but no \
                 producer with that tag has a record within a day of it: it is of another gateway, older than what is \
                 kept, or made up."
            ),
            Self::NoMatch { resembles: Some(what) } => write!(f, "Nothing carries it; {what}."),
            Self::NoMatch { resembles: None } => {
                write!(f, "Nothing carries it. Look up a request id (X-Request-Id), a trace id, or a correlation id.")
            }
        }
    }
}
