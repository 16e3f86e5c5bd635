//! Statistics of each file, as the log keeps them: `{"numRecords":…,"minValues":{…},"maxValues":{…},"nullCount":{…}}`
//! (Delta protocol, "Per-file Statistics"), for the columns that prune and no others, to keep commits small.

use std::collections::BTreeMap;

use arrow::compute::{max, min};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value, json};

use crate::TableError;
use crate::calendar::{format_time, parse_time};
use crate::snapshot::{ColumnRange, DataFile};
use crate::values::{dictionary, used};

/// The columns with statistics: every query has a range of `time`, audits go by `seq`, and most incidents start from one of
/// the others. Also `delta.dataSkippingStatsColumns`.
pub(crate) const COLUMNS: [&str; 6] = ["time", "seq", "kind", "service", "status", "error_class"];

/// Longest text in the statistics, in characters, as in other Delta writers.
const TEXT_CHARS_MAX: usize = 32;

/// Statistics of one file, gathered column by column.
#[derive(Debug, Default)]
pub(crate) struct FileStatistics {
    rows: u64,
    columns: BTreeMap<&'static str, Range>,
}

#[derive(Debug, Default)]
struct Range {
    bounds: Option<(Bound, Bound)>,
    nulls: u64,
}

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Time(i64),
    Number(i64),
    Text(String),
}

impl FileStatistics {
    /// Counts rows. The values of each column follow through [`FileStatistics::add`].
    pub(crate) fn add_rows(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Adds values of one column, if it is one with statistics.
    pub(crate) fn add(&mut self, name: &str, values: &ArrayRef) -> Result<(), TableError> {
        let Some(name) = COLUMNS.into_iter().find(|column| *column == name) else { return Ok(()) };
        let range = self.columns.entry(name).or_default();
        range.nulls += values.logical_null_count() as u64;
        let bounds = match values.data_type() {
            DataType::Dictionary(..) => {
                let (keys, texts) = dictionary(name, values)?;
                let text = |value: &str| Bound::Text(value.to_owned());
                let ends = used(keys, texts).fold(None, |ends: Option<(&str, &str)>, value| match ends {
                    None => Some((value, value)),
                    Some((low, high)) => Some((low.min(value), high.max(value))),
                });
                ends.map(|(low, high)| (text(low), text(high)))
            }
            _ => bounds(values.as_ref())?,
        };
        range.extend(bounds);
        Ok(())
    }

    /// The statistics of rows that stand in these files, each row in one.
    pub(crate) fn of_files(files: &[DataFile]) -> Self {
        let mut all = Self { rows: files.iter().map(|file| file.rows).sum(), columns: BTreeMap::new() };
        for name in COLUMNS {
            let mut range = Range::default();
            let is_known = files.iter().all(|file| {
                let Some((bounds, nulls)) = known_range(file, name) else { return false };
                range.nulls += nulls;
                range.extend(bounds);
                true
            });
            if is_known {
                all.columns.insert(name, range);
            }
        }
        all
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The statistics as the log keeps them.
    pub(crate) fn to_json(&self) -> String {
        let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (&name, range) in &self.columns {
            nulls.insert(name.to_owned(), range.nulls.into());
            if let Some((low, high)) = &range.bounds {
                mins.insert(name.to_owned(), low.as_lower());
                maxs.insert(name.to_owned(), high.as_upper());
            }
        }
        json!({"numRecords": self.rows, "minValues": mins, "maxValues": maxs, "nullCount": nulls}).to_string()
    }
}

impl Range {
    fn extend(&mut self, bounds: Option<(Bound, Bound)>) {
        let Some((low, high)) = bounds else { return };
        self.bounds = Some(match self.bounds.take() {
            None => (low, high),
            Some((min, max)) => (if low < min { low } else { min }, if high > max { high } else { max }),
        });
    }
}

/// What the log knows of a column of a file: bounds, if a row has a value, and the rows without one. `None` if it does not
/// know all of it.
fn known_range(file: &DataFile, name: &str) -> Option<(Option<(Bound, Bound)>, u64)> {
    let of = |low, high, unknown: (i64, i64), bound: fn(i64) -> Bound| {
        ((low, high) != unknown).then(|| (Some((bound(low), bound(high))), 0))
    };
    match name {
        "time" => return of(file.min_time_us, file.max_time_us, (i64::MIN, i64::MAX), Bound::Time),
        "seq" => return of(file.min_seq, file.max_seq, (i64::MIN, i64::MAX), Bound::Number),
        _ => {}
    }
    let range = file.stats.get(name)?;
    let nulls = range.nulls?;
    if nulls == file.rows {
        return Some((None, nulls));
    }
    let bound = |value: &Option<Value>| match value.as_ref()? {
        Value::String(text) => Some(Bound::Text(text.clone())),
        value => value.as_i64().map(Bound::Number),
    };
    Some((Some((bound(&range.min)?, bound(&range.max)?)), nulls))
}

fn bounds(column: &dyn Array) -> Result<Option<(Bound, Bound)>, TableError> {
    let pair = |low: Option<Bound>, high: Option<Bound>| low.zip(high);
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let column = column.as_primitive::<TimestampMicrosecondType>();
            pair(min(column).map(Bound::Time), max(column).map(Bound::Time))
        }
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            pair(min(column).map(Bound::Number), max(column).map(Bound::Number))
        }
        DataType::Int32 => {
            let column = column.as_primitive::<Int32Type>();
            let number = |value: i32| Bound::Number(value.into());
            pair(min(column).map(number), max(column).map(number))
        }
        other => return Err(TableError::Schema(format!("no statistics for columns of type {other}"))),
    })
}

impl Bound {
    fn as_lower(&self) -> Value {
        match self {
            // A time that the calendar lacks is null: an unknown bound, by which nothing is pruned.
            Bound::Time(us) => format_time(*us).into(),
            Bound::Number(number) => (*number).into(),
            Bound::Text(text) => text.chars().take(TEXT_CHARS_MAX).collect::<String>().into(),
        }
    }

    fn as_upper(&self) -> Value {
        match self {
            Bound::Text(text) if text.chars().count() > TEXT_CHARS_MAX => {
                // Above every text that starts with what is left.
                text.chars().take(TEXT_CHARS_MAX).chain(['\u{10FFFF}']).collect::<String>().into()
            }
            other => other.as_lower(),
        }
    }
}

/// Statistics read back from the log, of any writer. Missing and malformed parts are unknown.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ParsedStatistics {
    pub(crate) rows: u64,
    pub(crate) time: Option<(i64, i64)>,
    pub(crate) seq: Option<(i64, i64)>,
    pub(crate) columns: BTreeMap<String, ColumnRange>,
}

impl ParsedStatistics {
    pub(crate) fn parse(text: &str) -> Self {
        let Ok(mut stats) = serde_json::from_str::<Value>(text) else { return Self::default() };
        let mut parsed = Self { rows: stats["numRecords"].as_u64().unwrap_or(0), ..Self::default() };
        let section = |stats: &mut Value, name: &str| match stats.get_mut(name).map(Value::take) {
            Some(Value::Object(section)) => section,
            _ => Map::new(),
        };
        for (name, value) in section(&mut stats, "minValues") {
            parsed.columns.entry(name).or_default().min = some(value);
        }
        for (name, value) in section(&mut stats, "maxValues") {
            parsed.columns.entry(name).or_default().max = some(value);
        }
        for (name, value) in section(&mut stats, "nullCount") {
            parsed.columns.entry(name).or_default().nulls = value.as_u64();
        }
        parsed.time = parsed.columns.remove("time").and_then(|range| {
            Some((parse_time(range.min?.as_str()?, false)?, parse_time(range.max?.as_str()?, true)?))
        });
        let seq = parsed.columns.remove("seq");
        parsed.seq = seq.and_then(|range| Some((range.min?.as_i64()?, range.max?.as_i64()?)));
        parsed
    }
}

fn some(value: Value) -> Option<Value> {
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    const T: i64 = 1_795_471_200_123_456; // 2026-11-23T22:00:00 and a fraction

    #[test]
    fn statistics_survive_the_log() {
        let long = "x".repeat(40);
        let mut stats = FileStatistics::default();
        let mut add = |times: Vec<i64>, services: Vec<Option<&str>>| {
            let seqs: Vec<i64> = times.iter().map(|time| time % 100).collect();
            let statuses = vec![None; times.len()];
            stats.add_rows(times.len());
            let services: DictionaryArray<Int32Type> = services.into_iter().collect();
            let columns: [(&str, ArrayRef); 5] = [
                ("time", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
                ("seq", Arc::new(Int64Array::from(seqs))),
                ("service", Arc::new(services)),
                ("status", Arc::new(Int32Array::from(statuses))),
                ("path", Arc::new(StringArray::from(vec!["without statistics"]))),
            ];
            columns.iter().for_each(|(name, values)| stats.add(name, values).unwrap());
        };
        add(vec![T, T + 3], vec![Some("b"), None]);
        add(vec![T - 1], vec![Some(&long)]);
        let parsed = ParsedStatistics::parse(&stats.to_json());
        assert_eq!((parsed.rows, parsed.time, parsed.seq), (3, Some((T - 1, T + 3)), Some((55, 59))));
        let service = &parsed.columns["service"];
        assert_eq!(service.min, Some("b".into()));
        let max = service.max.as_ref().and_then(Value::as_str).unwrap();
        assert!(max > long.as_str() && max.chars().count() == TEXT_CHARS_MAX + 1);
        assert_eq!(service.nulls, Some(1));
        assert_eq!(parsed.columns["status"], ColumnRange { min: None, max: None, nulls: Some(3) });
    }

    #[test]
    fn unknown_statistics_are_unknown() {
        assert_eq!(ParsedStatistics::parse("nonsense"), ParsedStatistics::default());
        assert_eq!(ParsedStatistics::parse("[1]").rows, 0);
        let parsed = ParsedStatistics::parse(r#"{"numRecords":2,"minValues":{"time":5},"maxValues":7}"#);
        assert_eq!((parsed.rows, parsed.time, parsed.seq), (2, None, None));
    }
}
