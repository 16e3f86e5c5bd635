//! What a roll-up keeps of the columns of its rows, by cell.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use tollgate_record::schema;
use tollgate_sketch::{Sketch, bin_of};

use super::{Measure, Part};

/// Bins are from −131,008 to 131,008; added to one, this makes it positive.
const BIN_BIAS: i32 = 1 << 20;

/// Values that wait to be counted by bin: 2 MiB, and those of one call more.
const BINS_MAX: usize = 256 * 1_024;

/// One measure of all cells.
pub(super) struct Measured {
    measure: &'static Measure,
    numbers: Vec<Numbers>,
    sketched: bool,
    /// Whether the sum of some cell did not fit.
    overflowed: bool,
    /// (cell, bin) of the newest values, at most [`BINS_MAX`].
    bins: Vec<u64>,
    /// (cell, bin) and how many, of the values before.
    counts: Vec<(u64, u32)>,
}

/// What is known of a cell's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) count: i64,
    pub(super) sum: i64,
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: i64::MAX, max: i64::MIN }
    }
}

impl Measured {
    pub(super) fn new(measure: &'static Measure) -> Self {
        let sketched = measure.parts.contains(&Part::Sketch);
        Self { measure, numbers: Vec::new(), sketched, overflowed: false, bins: Vec::new(), counts: Vec::new() }
    }

    pub(super) fn column(&self) -> &'static str {
        self.measure.column
    }

    /// Whether what is kept is what the values are: no sum has wrapped.
    pub(super) fn is_exact(&self) -> bool {
        !self.overflowed || !self.measure.parts.contains(&Part::Sum)
    }

    /// Adds values of rows that are in these cells, of which there are `cells_len` by now.
    pub(super) fn add(&mut self, cells: &[u32], values: impl Iterator<Item = Option<i64>>, cells_len: usize) {
        if self.numbers.len() < cells_len {
            self.numbers.resize(cells_len, Numbers::default());
        }
        for (cell, value) in cells.iter().zip(values) {
            let Some(value) = value else { continue };
            let numbers = &mut self.numbers[*cell as usize];
            numbers.count += 1;
            let (sum, overflows) = numbers.sum.overflowing_add(value);
            numbers.sum = sum;
            self.overflowed |= overflows;
            numbers.min = numbers.min.min(value);
            numbers.max = numbers.max.max(value);
            if self.sketched
                && let Some(bin) = bin_of(value as f64)
            {
                self.bins.push(u64::from(*cell) << 32 | u64::from((bin + BIN_BIAS) as u32));
            }
        }
        if self.bins.len() >= BINS_MAX {
            self.count_bins();
        }
    }

    /// Counts values by bin: a third as many bins as values stay.
    fn count_bins(&mut self) {
        self.bins.sort_unstable();
        let counts = self.bins.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32));
        self.counts.extend(counts);
        self.bins.clear();
    }

    /// The columns of the roll-up that hold it, for so many cells.
    pub(super) fn columns(mut self, cells_len: usize) -> Vec<ArrayRef> {
        self.numbers.resize(cells_len, Numbers::default());
        let sketches = self.sketched.then(|| self.sketches(cells_len));
        let numbers = &self.numbers;
        let known = |number: fn(&Numbers) -> i64| numbers.iter().map(move |n| (n.count > 0).then(|| number(n)));
        let of_column = |values: Vec<Option<i64>>| integers_as(&data_type(self.measure.column), values);
        let part = |part: &Part| -> ArrayRef {
            match part {
                Part::Count => Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| n.count))),
                Part::Sum => Arc::new(known(|n| n.sum).collect::<Int64Array>()),
                Part::Min => of_column(known(|n| n.min).collect()),
                Part::Max => of_column(known(|n| n.max).collect()),
                Part::Sketch => sketches.clone().unwrap_or_else(|| Arc::new(BinaryBuilder::new().finish())),
            }
        };
        self.measure.parts.iter().map(part).collect()
    }

    fn sketches(&mut self, cells_len: usize) -> ArrayRef {
        self.count_bins();
        self.counts.sort_unstable();
        let mut sketches = BinaryBuilder::with_capacity(cells_len, self.counts.len() * 3);
        let mut of_cells = self.counts.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32).peekable();
        for cell in 0..cells_len as u64 {
            match of_cells.next_if(|bins| bins[0].0 >> 32 == cell) {
                None => sketches.append_null(),
                Some(bins) => {
                    let bins = bins.iter().map(|(bin, count)| (*bin as u32 as i32 - BIN_BIAS, u64::from(*count)));
                    sketches.append_value(bins.collect::<Sketch>().to_bytes());
                }
            }
        }
        Arc::new(sketches.finish())
    }
}

/// The type of a column of the table.
pub(super) fn data_type(column: &str) -> DataType {
    schema::table().field_with_name(column).map_or(DataType::Null, |field| field.data_type().clone())
}

/// Integers as a column of this type, which is Int64 or a time.
pub(super) fn integers_as(data_type: &DataType, values: Vec<Option<i64>>) -> ArrayRef {
    match data_type {
        DataType::Timestamp(..) => Arc::new(TimestampMicrosecondArray::from(values).with_timezone(schema::TIME_ZONE)),
        _ => Arc::new(Int64Array::from(values)),
    }
}
