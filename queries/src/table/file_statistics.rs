//! What the log knows of a data file, as DataFusion's statistics.
//!
//! A bound is exact only if some row has that value: `min(time)` is then answered without a file. Texts longer than the log keeps
//! are cut there and so are no values; times in files that do not say their order may be of a writer that rounds. Bounds that are
//! not exact still prune while a scan is planned (see `prune`), where no value is needed.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use tollgate_record::schema::TIME_ZONE;
use tollgate_table::{DataFile, HotBatch, RowOrder};

use super::columns::sql_columns;

/// Texts in the log's statistics that have fewer characters than this were not cut.
const WHOLE_TEXT_CHARS_MAX: usize = 31;

/// The statistics of one file over the stored columns.
pub(super) fn of_file(file: &DataFile) -> Statistics {
    let stored = &sql_columns().stored;
    let mut statistics = Statistics::new_unknown(stored);
    statistics.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
    let mut set = |name: &str, column: ColumnStatistics| {
        if let Ok(at) = stored.index_of(name) {
            statistics.column_statistics[at] = column;
        }
    };
    for (name, range) in file.stats.iter() {
        let Ok(field) = stored.field_with_name(name) else { continue };
        set(
            name,
            ColumnStatistics {
                min_value: bound(range.min.as_ref(), field.data_type()),
                max_value: bound(range.max.as_ref(), field.data_type()),
                null_count: nulls(range.nulls),
                ..ColumnStatistics::new_unknown()
            },
        );
    }
    for (name, values) in file.values.iter() {
        let (Some(low), Some(high)) = (values.first(), values.last()) else { continue };
        let text = |value: &String| Precision::Exact(ScalarValue::Utf8(Some(value.clone())));
        let null_count = nulls(file.stats.get(name).and_then(|range| range.nulls));
        let ends = ColumnStatistics { min_value: text(low), max_value: text(high), null_count, ..unknown() };
        set(name, ends);
    }
    let exact = file.order != RowOrder::Unknown;
    let ends = (file.min_time_us, file.max_time_us);
    set("time", column(ends, exact, |us| ScalarValue::TimestampMicrosecond(Some(us), Some(TIME_ZONE.into()))));
    set("seq", column((file.min_seq, file.max_seq), true, |seq| ScalarValue::Int64(Some(seq))));
    statistics
}

/// The statistics of hot rows over the stored columns.
pub(super) fn of_hot(batches: &[Arc<HotBatch>], schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let rows = batches.iter().map(|batch| batch.records.num_rows()).sum();
    statistics.num_rows = Precision::Exact(rows);
    let low = batches.iter().map(|batch| batch.min_time_us).min();
    let high = batches.iter().map(|batch| batch.max_time_us).max();
    if let (Some(low), Some(high), Ok(at)) = (low, high, schema.index_of("time")) {
        let time = |us| ScalarValue::TimestampMicrosecond(Some(us), Some(TIME_ZONE.into()));
        statistics.column_statistics[at] = column((low, high), true, time);
    }
    statistics
}

/// The statistics of several inputs together, for the stored columns of these indices; of others nothing is said.
pub(super) fn merged<'s>(inputs: impl Iterator<Item = &'s Statistics>, wanted: &[usize]) -> Statistics {
    let mut merged = Statistics::new_unknown(&sql_columns().stored);
    let mut first = true;
    merged.num_rows = Precision::Exact(0);
    for input in inputs {
        merged.num_rows = merged.num_rows.add(&input.num_rows);
        for at in wanted {
            let column = &input.column_statistics[*at];
            let so_far = &mut merged.column_statistics[*at];
            if first {
                *so_far = column.clone();
                continue;
            }
            so_far.min_value = so_far.min_value.min(&column.min_value);
            so_far.max_value = so_far.max_value.max(&column.max_value);
            so_far.null_count = so_far.null_count.add(&column.null_count);
        }
        first = false;
    }
    merged
}

fn unknown() -> ColumnStatistics {
    ColumnStatistics::new_unknown()
}

fn nulls(count: Option<u64>) -> Precision<usize> {
    count.map_or(Precision::Absent, |count| Precision::Exact(usize::try_from(count).unwrap_or(usize::MAX)))
}

/// Ends of a column that is never null, each unknown at the type's own end.
fn column((low, high): (i64, i64), exact: bool, value: impl Fn(i64) -> ScalarValue) -> ColumnStatistics {
    if low == i64::MIN || high == i64::MAX {
        return unknown();
    }
    let end = |end| if exact { Precision::Exact(value(end)) } else { Precision::Inexact(value(end)) };
    ColumnStatistics { min_value: end(low), max_value: end(high), null_count: Precision::Exact(0), ..unknown() }
}

fn bound(value: Option<&serde_json::Value>, data_type: &DataType) -> Precision<ScalarValue> {
    let scalar = value.and_then(|value| match data_type {
        DataType::Utf8 => value.as_str().map(|text| ScalarValue::Utf8(Some(text.to_owned()))),
        DataType::Int64 => value.as_i64().map(|number| ScalarValue::Int64(Some(number))),
        DataType::Int32 => value.as_i64()?.try_into().ok().map(|number| ScalarValue::Int32(Some(number))),
        _ => None,
    });
    let cut = value.and_then(|value| value.as_str()).is_some_and(|text| text.chars().count() > WHOLE_TEXT_CHARS_MAX);
    match scalar {
        None => Precision::Absent,
        Some(scalar) if cut => Precision::Inexact(scalar),
        Some(scalar) => Precision::Exact(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_cut_is_no_value() {
        let whole = serde_json::Value::from("members");
        let cut = serde_json::Value::from("x".repeat(32));
        assert!(matches!(bound(Some(&whole), &DataType::Utf8), Precision::Exact(_)));
        assert!(matches!(bound(Some(&cut), &DataType::Utf8), Precision::Inexact(_)));
        assert_eq!(bound(None, &DataType::Utf8), Precision::Absent);
    }

    #[test]
    fn unknown_ends_stay_unknown() {
        let number = |seq| ScalarValue::Int64(Some(seq));
        assert_eq!(column((i64::MIN, 5), true, number), unknown());
        assert_eq!(column((1, 5), true, number).max_value, Precision::Exact(number(5)));
        assert_eq!(column((1, 5), false, number).max_value, Precision::Inexact(number(5)));
    }
}
