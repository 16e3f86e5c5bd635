//! Rows on their way into a file: ordered, and split by day.
//!
//! The rows stay in the batches and the wire schema in which they came. A file is written column by column, so that only one
//! column at a time is concatenated. Most columns are dictionaries, where ordering moves integers. So neither the rows of a
//! commit nor their plain text are ever in memory twice.

use std::collections::BTreeMap;

use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices};
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};

use chrono::NaiveDate;

use crate::TableError;
use crate::calendar::day_of;

/// Most days that one commit gets a partition for. A producer whose clock jumps about cannot make more files than this:
/// the days with the fewest rows share the null partition.
pub(crate) const PARTITIONS_PER_COMMIT_MAX: usize = 32;

/// The rows of one file: `order` holds their indices, in the file's order.
#[derive(Debug)]
pub(crate) struct Part {
    /// UTC day; `None` for the null partition.
    pub(crate) day: Option<NaiveDate>,
    pub(crate) order: UInt32Array,
}

/// Rows of the wire schema, in the batches that they came in.
pub(crate) struct RowBatches(Vec<RecordBatch>);

impl RowBatches {
    /// At least one batch.
    pub(crate) fn of(batches: Vec<RecordBatch>) -> Self {
        Self(batches)
    }

    /// The batches that hold rows of `order`, and `order` as indices into these batches alone. A file of few rows then
    /// concatenates the columns of few batches.
    pub(crate) fn restricted_to(&self, order: &UInt32Array) -> (Self, UInt32Array) {
        // Where each batch begins, and with how many rows before it that stay.
        let mut starts = Vec::with_capacity(self.0.len());
        let mut rows = 0_u32;
        for batch in &self.0 {
            starts.push(rows);
            rows += batch.num_rows() as u32;
        }
        let batch_of = |row: u32| starts.partition_point(|start| *start <= row) - 1;
        let mut wanted = vec![false; self.0.len()];
        order.values().iter().for_each(|row| wanted[batch_of(*row)] = true);
        let mut kept = Vec::new();
        let mut gone = Vec::with_capacity(self.0.len());
        let mut rows_gone = 0_u32;
        for (batch, wanted) in self.0.iter().zip(&wanted) {
            gone.push(rows_gone);
            if *wanted {
                kept.push(batch.clone());
            } else {
                rows_gone += batch.num_rows() as u32;
            }
        }
        if rows_gone == 0 {
            return (Self(kept), order.clone());
        }
        let order = order.values().iter().map(|row| row - gone[batch_of(*row)]);
        (Self(kept), UInt32Array::from_iter_values(order))
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
pub(crate) fn order_by(rows: &RowBatches, columns: &[&str]) -> Result<UInt32Array, TableError> {
    let keys = columns.iter().map(|name| {
        let options = Some(SortOptions { descending: false, nulls_first: true });
        Ok(SortColumn { values: rows.column(name)?, options })
    });
    let keys = keys.collect::<Result<Vec<_>, TableError>>()?;
    lexsort_to_indices(&keys, None).map_err(TableError::rows("sort the rows of a commit"))
}

/// Splits rows that are ordered by time into one part a day.
pub(crate) fn split_by_day(rows: &RowBatches, order: &UInt32Array) -> Result<Vec<Part>, TableError> {
    let times = rows.column("time")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| TableError::Schema("time is not in microseconds".to_owned()))?;
    let mut days: BTreeMap<NaiveDate, (usize, usize)> = BTreeMap::new();
    let mut undated = Vec::new();
    for (at, &row) in order.values().iter().enumerate() {
        match day_of(times.value(row as usize)) {
            Some(day) => days.entry(day).or_insert((at, 0)).1 += 1,
            None => undated.push(row),
        }
    }
    let mut by_rows: Vec<_> = days.into_iter().collect();
    by_rows.sort_by_key(|&(day, (_, rows))| (std::cmp::Reverse(rows), day));
    let rest = by_rows.split_off(by_rows.len().min(PARTITIONS_PER_COMMIT_MAX));
    let part = |(day, (at, rows))| Part { day: Some(day), order: order.slice(at, rows) };
    let mut parts: Vec<_> = by_rows.into_iter().map(part).collect();
    parts.sort_by_key(|part| part.day);
    let rest = rest.into_iter().flat_map(|(_, (at, rows))| order.values()[at..at + rows].iter().copied());
    undated.extend(rest);
    if !undated.is_empty() {
        parts.push(Part { day: None, order: undated.into() });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::compute::take;
    use arrow_array::Int64Array;

    use super::*;

    fn rows() -> RowBatches {
        let batch = |values: &[i64]| {
            let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            RecordBatch::try_from_iter([("seq", values)]).unwrap()
        };
        RowBatches::of(vec![batch(&[0, 1]), batch(&[]), batch(&[2, 3, 4]), batch(&[5]), batch(&[6, 7])])
    }

    #[test]
    fn a_part_of_the_rows_takes_the_batches_that_it_is_in() {
        for (order, batches) in [
            (vec![0, 7, 3, 5], 4),
            (vec![6, 2, 7], 2),
            (vec![5], 1),
            (vec![1, 0], 1),
            (vec![4, 3, 5, 0], 3),
            (vec![], 0),
        ] {
            let order = UInt32Array::from(order);
            let (part, at) = rows().restricted_to(&order);
            assert_eq!(part.0.len(), batches, "{order:?}");
            if batches > 0 {
                let taken = take(&part.column("seq").unwrap(), &at, None).unwrap();
                let asked = take(&rows().column("seq").unwrap(), &order, None).unwrap();
                assert_eq!(&taken, &asked);
            }
        }
    }
}
