//! Rows on their way into a file: put together, ordered, split by day, and made plain.
//!
//! They stay in the wire schema, where most columns are dictionaries and sorting moves integers, until the writer takes
//! them chunk by chunk ([`plain_chunk`]): so the plain text of a commit is never in memory at once.

use std::collections::BTreeMap;

use arrow::compute::{SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take};
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use tollgate_record::schema;

use crate::TableError;
use crate::statistics::day_of;

/// Most days that one commit gets a partition for. A producer whose clock jumps about cannot make more files than this:
/// the days with the fewest rows share the null partition.
pub(crate) const PARTITIONS_PER_COMMIT_MAX: usize = 32;

/// Rows that go to one file: those of `rows` that `order` names, in that order.
#[derive(Debug)]
pub(crate) struct Part {
    /// UTC day, in days since 1970-01-01; `None` for the null partition.
    pub(crate) day: Option<i64>,
    pub(crate) order: UInt32Array,
}

/// Puts batches of the wire schema together.
pub(crate) fn concat(batches: &[RecordBatch]) -> Result<RecordBatch, TableError> {
    concat_batches(&schema::wire(), batches).map_err(TableError::rows("put the rows of a commit together"))
}

/// The order of rows by the given columns, ascending, nulls first.
pub(crate) fn order_by(rows: &RecordBatch, columns: &[&str]) -> Result<UInt32Array, TableError> {
    let keys = columns.iter().map(|name| {
        let options = Some(SortOptions { descending: false, nulls_first: true });
        Ok(SortColumn { values: column(rows, name)?.clone(), options })
    });
    let keys = keys.collect::<Result<Vec<_>, TableError>>()?;
    lexsort_to_indices(&keys, None).map_err(TableError::rows("sort the rows of a commit"))
}

/// Splits rows that are ordered by time into one part a day.
pub(crate) fn split_by_day(rows: &RecordBatch, order: &UInt32Array) -> Result<Vec<Part>, TableError> {
    let times = column(rows, "time")?.as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| TableError::Schema("time is not in microseconds".to_owned()))?;
    let mut days: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for (at, &row) in order.values().iter().enumerate() {
        let day = day_of(times.value(row as usize));
        days.entry(day).or_insert((at, 0)).1 += 1;
    }
    let mut by_rows: Vec<_> = days.into_iter().collect();
    by_rows.sort_by_key(|&(day, (_, rows))| (std::cmp::Reverse(rows), day));
    let rest = by_rows.split_off(by_rows.len().min(PARTITIONS_PER_COMMIT_MAX));
    let part = |(day, (at, rows))| Part { day: Some(day), order: order.slice(at, rows) };
    let mut parts: Vec<_> = by_rows.into_iter().map(part).collect();
    parts.sort_by_key(|part| part.day);
    if !rest.is_empty() {
        let rest = rest.into_iter().flat_map(|(_, (at, rows))| order.values()[at..at + rows].iter().copied());
        parts.push(Part { day: None, order: UInt32Array::from_iter_values(rest) });
    }
    Ok(parts)
}

/// The rows that `order` names, in the table's plain types.
pub(crate) fn plain_chunk(rows: &RecordBatch, order: &UInt32Array) -> Result<RecordBatch, TableError> {
    let failed = TableError::rows("make the rows of a commit plain");
    let table = schema::table();
    let columns = table.fields().iter().map(|field| {
        let values = take(column(rows, field.name())?, order, None).map_err(&failed)?;
        cast(&values, field.data_type()).map_err(&failed)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(table, columns).map_err(&failed)
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, TableError> {
    rows.column_by_name(name).ok_or_else(|| TableError::Schema(format!("rows without column `{name}`")))
}
