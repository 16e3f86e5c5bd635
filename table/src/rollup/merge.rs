//! Merges the cells of several files, or brings cells into longer buckets: cells that agree on keys and bucket become one.
//!
//! The inputs are ordered by keys and bucket, and so is the result. So it is a merge of streams, which holds one batch of each
//! input and one of the result.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::row::{OwnedRow, RowConverter, Rows};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch};
use tollgate_sketch::Sketch;

use super::build::{converter, order_of};
use super::measures::{Numbers, data_type, integers_as};
use super::{BUCKET, Measure, Part, ROWS, Rollup};
use crate::TableError;

/// Cells of one batch of the result.
const BATCH_CELLS: usize = 4_096;

/// Cells that are ordered by keys and bucket, in batches.
pub(crate) type Cells<'a> = Box<dyn Iterator<Item = Result<RecordBatch, TableError>> + 'a>;

/// Merges cells into those of `rollup`, whose buckets are as long as theirs or longer, and gives them to `out` in batches;
/// answers the sum of their rows.
///
/// # Errors
/// If an input cannot be read or is not ordered, has other columns, or has a sketch that is none; or if a sum does not fit.
pub(crate) fn merge(
    rollup: &'static Rollup,
    inputs: Vec<Cells<'_>>,
    mut out: impl FnMut(&RecordBatch) -> Result<(), TableError>,
) -> Result<i64, TableError> {
    let mut merged = Merged::new(rollup)?;
    let mut sources = Vec::with_capacity(inputs.len());
    let mut heap = BinaryHeap::with_capacity(inputs.len());
    for input in inputs {
        let mut source = Source { rollup, input, batch: None };
        if let Some(row) = source.next(&merged.converter)? {
            heap.push(Reverse((row, sources.len())));
        }
        sources.push(source);
    }
    let mut current: Option<OwnedRow> = None;
    while let Some(Reverse((row, at))) = heap.pop() {
        match &current {
            Some(same) if *same == row => {}
            Some(before) if *before > row => {
                return Err(TableError::Inconsistent("the cells of a roll-up are not in order".to_owned()));
            }
            _ => {
                if merged.cells() == BATCH_CELLS {
                    out(&merged.take()?)?;
                }
                merged.begin(&row);
                current = Some(row);
            }
        }
        let source = &mut sources[at];
        source.show(&mut merged)?;
        if let Some(row) = source.next(&merged.converter)? {
            heap.push(Reverse((row, at)));
        }
    }
    if merged.cells() > 0 {
        out(&merged.take()?)?;
    }
    Ok(merged.total)
}

struct Source<'a> {
    rollup: &'static Rollup,
    input: Cells<'a>,
    batch: Option<Batch>,
}

struct Batch {
    at: usize,
    order: Rows,
    rows: Int64Array,
    measures: Vec<Columns>,
}

/// The columns of one measure, those that it has.
#[derive(Default)]
struct Columns {
    count: Option<Int64Array>,
    sum: Option<Int64Array>,
    min: Option<Int64Array>,
    max: Option<Int64Array>,
    sketch: Option<BinaryArray>,
}

impl Source<'_> {
    /// Goes to the next cell; its place in the order.
    fn next(&mut self, converter: &RowConverter) -> Result<Option<OwnedRow>, TableError> {
        if let Some(batch) = &mut self.batch {
            batch.at += 1;
        }
        while self.batch.as_ref().is_none_or(|batch| batch.at >= batch.rows.len()) {
            let Some(cells) = self.input.next() else { return Ok(None) };
            self.batch = Some(Batch::new(self.rollup, converter, &cells?)?);
        }
        Ok(self.batch.as_ref().map(|batch| batch.order.row(batch.at).owned()))
    }

    /// Adds the cell to the merged ones.
    fn show(&self, merged: &mut Merged) -> Result<(), TableError> {
        let Some(batch) = &self.batch else { return Ok(()) };
        merged.add_rows(batch.rows.value(batch.at));
        for (measure, columns) in merged.measures.iter_mut().zip(&batch.measures) {
            measure.add(columns, batch.at)?;
        }
        Ok(())
    }
}

impl Batch {
    fn new(rollup: &Rollup, converter: &RowConverter, cells: &RecordBatch) -> Result<Self, TableError> {
        let column = |name: &str| {
            let column = cells.column_by_name(name);
            column.ok_or_else(|| TableError::Schema(format!("a roll-up without column `{name}`")))
        };
        let mut order = Vec::new();
        for name in order_of(rollup) {
            order.push(if name == BUCKET { buckets(rollup, column(name)?)? } else { Arc::clone(column(name)?) });
        }
        let order = converter.convert_columns(&order).map_err(TableError::rows("order the cells of a roll-up"))?;
        let mut measures = Vec::new();
        for measure in rollup.measures {
            let mut columns = Columns::default();
            for part in measure.parts {
                let column = column(&Rollup::column(measure.column, *part))?;
                match part {
                    Part::Count => columns.count = Some(integers(column)?),
                    Part::Sum => columns.sum = Some(integers(column)?),
                    Part::Min => columns.min = Some(integers(column)?),
                    Part::Max => columns.max = Some(integers(column)?),
                    Part::Sketch => columns.sketch = Some(binary(column)?),
                }
            }
            measures.push(columns);
        }
        Ok(Self { at: 0, order, rows: integers(column(ROWS)?)?, measures })
    }
}

/// The buckets of the result that these fall in.
fn buckets(rollup: &Rollup, column: &ArrayRef) -> Result<ArrayRef, TableError> {
    let (us, times) = (rollup.grain.us(), integers(column)?);
    let bucket = |time: i64| time.div_euclid(us).checked_mul(us);
    Ok(integers_as(column.data_type(), times.iter().map(|time| time.and_then(bucket)).collect()))
}

fn integers(column: &ArrayRef) -> Result<Int64Array, TableError> {
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return Ok(times.reinterpret_cast::<Int64Type>());
    }
    let integers = column.as_primitive_opt::<Int64Type>().cloned();
    integers.ok_or_else(|| TableError::Schema(format!("a roll-up has {} in place of integers", column.data_type())))
}

fn binary(column: &ArrayRef) -> Result<BinaryArray, TableError> {
    let bytes = column.as_binary_opt::<i32>().cloned();
    bytes.ok_or_else(|| TableError::Schema(format!("a roll-up has {} in place of sketches", column.data_type())))
}

/// Cells of the result, the last of which may still grow.
struct Merged {
    rollup: &'static Rollup,
    converter: RowConverter,
    order: Rows,
    rows: Vec<i64>,
    measures: Vec<MergedMeasure>,
    total: i64,
}

struct MergedMeasure {
    measure: &'static Measure,
    numbers: Vec<Numbers>,
    /// Whether a cell has a value.
    known: Vec<bool>,
    sketches: Vec<MergedSketch>,
}

/// Most cells have one input, whose bytes are the result.
enum MergedSketch {
    None,
    One(Vec<u8>),
    Many(Sketch),
}

impl Merged {
    fn new(rollup: &'static Rollup) -> Result<Self, TableError> {
        let converter = converter(rollup)?;
        let order = converter.empty_rows(BATCH_CELLS, BATCH_CELLS * 64);
        let measures = rollup.measures.iter().map(|measure| MergedMeasure {
            measure,
            numbers: Vec::new(),
            known: Vec::new(),
            sketches: Vec::new(),
        });
        Ok(Self { rollup, converter, order, rows: Vec::new(), measures: measures.collect(), total: 0 })
    }

    fn cells(&self) -> usize {
        self.rows.len()
    }

    fn begin(&mut self, row: &OwnedRow) {
        self.order.push(row.row());
        self.rows.push(0);
        for measure in &mut self.measures {
            measure.numbers.push(Numbers::default());
            measure.known.push(false);
            measure.sketches.push(MergedSketch::None);
        }
    }

    fn add_rows(&mut self, rows: i64) {
        if let Some(cell) = self.rows.last_mut() {
            *cell = cell.saturating_add(rows);
        }
        self.total = self.total.saturating_add(rows);
    }

    /// The cells as a batch; none is left.
    fn take(&mut self) -> Result<RecordBatch, TableError> {
        let failed = TableError::rows("merge the cells of roll-ups");
        let mut order = self.converter.convert_rows(&self.order).map_err(&failed)?;
        self.order.clear();
        // The order has the bucket last, the schema has it first.
        order.rotate_right(1);
        order.push(Arc::new(Int64Array::from(std::mem::take(&mut self.rows))));
        order.extend(self.measures.iter_mut().flat_map(MergedMeasure::take));
        RecordBatch::try_new(self.rollup.schema(), order).map_err(failed)
    }
}

impl MergedMeasure {
    fn add(&mut self, columns: &Columns, at: usize) -> Result<(), TableError> {
        let (Some(numbers), Some(known)) = (self.numbers.last_mut(), self.known.last_mut()) else { return Ok(()) };
        let value = |column: &Option<Int64Array>| {
            column.as_ref().filter(|column| column.is_valid(at)).map(|column| column.value(at))
        };
        numbers.count = numbers.count.wrapping_add(value(&columns.count).unwrap_or(0));
        for (part, column) in [(Part::Sum, &columns.sum), (Part::Min, &columns.min), (Part::Max, &columns.max)] {
            let Some(value) = value(column) else { continue };
            *known = true;
            match part {
                Part::Sum => {
                    let sum = numbers.sum.checked_add(value);
                    let too_large = || TableError::Inconsistent("a sum does not fit into 64 bits".to_owned());
                    numbers.sum = sum.ok_or_else(too_large)?;
                }
                Part::Min => numbers.min = numbers.min.min(value),
                _ => numbers.max = numbers.max.max(value),
            }
        }
        if let (Some(column), Some(sketch)) = (&columns.sketch, self.sketches.last_mut())
            && column.is_valid(at)
        {
            sketch.add(column.value(at)).map_err(TableError::rows("merge the sketches of roll-ups"))?;
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let (numbers, known) = (std::mem::take(&mut self.numbers), std::mem::take(&mut self.known));
        let sketches = std::mem::take(&mut self.sketches);
        let part = |number: fn(&Numbers) -> i64| -> Vec<Option<i64>> {
            numbers.iter().zip(&known).map(|(numbers, known)| known.then(|| number(numbers))).collect()
        };
        let of_column = |values| integers_as(&data_type(self.measure.column), values);
        let column = |kept: &Part| -> ArrayRef {
            match kept {
                Part::Count => Arc::new(Int64Array::from_iter_values(numbers.iter().map(|numbers| numbers.count))),
                Part::Sum => Arc::new(Int64Array::from(part(|numbers| numbers.sum))),
                Part::Min => of_column(part(|numbers| numbers.min)),
                Part::Max => of_column(part(|numbers| numbers.max)),
                Part::Sketch => Arc::new(sketches.iter().map(MergedSketch::bytes).collect::<BinaryArray>()),
            }
        };
        self.measure.parts.iter().map(column).collect()
    }
}

impl MergedSketch {
    fn add(&mut self, bytes: &[u8]) -> Result<(), tollgate_sketch::SketchError> {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(bytes.to_vec()),
            Self::One(one) => {
                let mut sketch = Sketch::from_bytes(&one)?;
                sketch.merge(&Sketch::from_bytes(bytes)?);
                Self::Many(sketch)
            }
            Self::Many(mut sketch) => {
                sketch.merge(&Sketch::from_bytes(bytes)?);
                Self::Many(sketch)
            }
        };
        Ok(())
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::One(bytes) => Some(bytes.clone()),
            Self::Many(sketch) => Some(sketch.to_bytes()),
        }
    }
}
