//! Rows on their way into a file: ordered, and split by day.
//!
//! They stay in the batches and in the wire schema that they came in. A file is written column by column, so that a column at
//! a time is put together, and most of these are dictionaries, where ordering moves integers: neither the rows of a commit nor
//! their plain text are ever in memory a second time.

use std::collections::BTreeMap;

use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices};
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};

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

/// Rows of the wire schema, in the batches that they came in.
pub(crate) struct Rows(Vec<RecordBatch>);

impl Rows {
    /// At least one batch.
    pub(crate) fn of(batches: Vec<RecordBatch>) -> Self {
        Self(batches)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(RecordBatch::num_rows).sum()
    }

    /// One column of all rows.
    pub(crate) fn column(&self, name: &str) -> Result<ArrayRef, TableError> {
        let column = |batch: &'_ RecordBatch| batch.column_by_name(name).cloned();
        let Some(parts) = self.0.iter().map(column).collect::<Option<Vec<_>>>() else {
            return Err(TableError::Schema(format!("rows without column `{name}`")));
        };
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        concat(&parts).map_err(TableError::rows("put the rows of a commit together"))
    }
}

/// The order of rows by the given columns, ascending, nulls first.
pub(crate) fn order_by(rows: &Rows, columns: &[&str]) -> Result<UInt32Array, TableError> {
    let keys = columns.iter().map(|name| {
        let options = Some(SortOptions { descending: false, nulls_first: true });
        Ok(SortColumn { values: rows.column(name)?, options })
    });
    let keys = keys.collect::<Result<Vec<_>, TableError>>()?;
    lexsort_to_indices(&keys, None).map_err(TableError::rows("sort the rows of a commit"))
}

/// Splits rows that are ordered by time into one part a day.
pub(crate) fn split_by_day(rows: &Rows, order: &UInt32Array) -> Result<Vec<Part>, TableError> {
    let times = rows.column("time")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>();
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
