//! Makes the roll-ups of a file out of its columns, as they are written.

use std::ops::Range;
use std::sync::Arc;

use arrow::compute::take;
use arrow::row::{RowConverter, SortField};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, PrimitiveArray, RecordBatch, UInt32Array};
use arrow_schema::DataType;

use super::cells::Cells;
use super::measures::{Measured, data_type};
use super::values::Values;
use super::{BUCKET, Grain, ROLLUPS, Rollup};
use crate::TableError;

/// The columns that roll-ups need, in the order in which they need them: keys, then measures.
pub(crate) const COLUMNS: [&str; KEYS + 7] = [
    "time",
    "service",
    "app_id",
    "kind",
    "status",
    "error_class",
    "producer",
    "node_id",
    "tls_version",
    "tls_cipher",
    "tls_resumed",
    "http_version",
    "mtls_verify",
    "client_cert_sha256",
    "client_cert_subject",
    "client_cert_issuer",
    "client_cert_serial",
    "client_cert_not_after",
    "consumer",
    "total_us",
    "gateway_us",
    "upstream_ttfb_us",
    "request_bytes",
    "response_bytes",
    "seq",
    "gap_count",
];
/// How many of [`COLUMNS`] are keys.
const KEYS: usize = 19;
const TIME: usize = 0;

/// Most cells of a roll-up of one file: a quarter of the rows of a large one. It bounds memory (28 bytes a cell and key, 32 a
/// measure), as clients choose some of the keys: a certificate that is refused is one. A roll-up with more is left out, and would
/// be as dear to read as the rows.
const CELLS_MAX: usize = 128 * 1_024;

/// Takes the columns of a file. It holds for each row the number of its cell in each roll-up (4 bytes each) and, until the last key,
/// its time (8 bytes); for each cell what [`CELLS_MAX`] says, and 16 bytes a bin of its sketch. By that, 524,288 rows take some
/// 12 MB, and their cells (33,000 of services in `examples/sidecar.rs`) some 20 MB; the bound on cells is near 100 MB.
pub(crate) struct RollupBuilder {
    groups: Vec<Group>,
    rows: usize,
    /// Of the rows of all row groups, until their cells are known.
    times: Vec<i64>,
    values: Vec<Values>,
    buckets: [Values; 2],
    numbers: Vec<u32>,
    pending: Vec<Pending>,
    cells_max: usize,
    /// Why there will be none.
    given_up: Option<&'static str>,
}

/// One row group.
struct Group {
    rows: Range<usize>,
    /// How many rows came in, by place in [`COLUMNS`].
    seen: [usize; COLUMNS.len()],
}

/// One roll-up.
struct Pending {
    rollup: &'static Rollup,
    cells: Cells,
    /// The cells of the rows.
    of_rows: Vec<u32>,
    /// Number of rows of each cell.
    rows: Vec<i64>,
    measures: Vec<Measured>,
}

/// The roll-ups of a file: those that are made of others are not among them.
pub(crate) fn from_rows() -> impl Iterator<Item = &'static Rollup> {
    ROLLUPS.iter().filter(|rollup| coarser_than(rollup).is_none())
}

/// The roll-up that has the same cells in shorter buckets, of which this one can be made.
pub(crate) fn coarser_than(rollup: &Rollup) -> Option<&'static Rollup> {
    ROLLUPS
        .iter()
        .find(|finer| finer.grain < rollup.grain && finer.keys == rollup.keys && finer.measures == rollup.measures)
}

fn grain_at(grain: Grain) -> usize {
    match grain {
        Grain::FiveMinutes => 0,
        Grain::Hour => 1,
    }
}

impl RollupBuilder {
    /// For a file with row groups of these lengths.
    pub(crate) fn new(row_groups: &[usize]) -> Self {
        let rows: usize = row_groups.iter().sum();
        let mut end = 0;
        let groups = row_groups.iter().map(|rows| {
            end += rows;
            Group { rows: end - rows..end, seen: [0; COLUMNS.len()] }
        });
        let pending = from_rows().map(|rollup| Pending {
            rollup,
            cells: Cells::new(1 + rollup.keys.len()),
            of_rows: vec![0; rows],
            rows: Vec::new(),
            measures: rollup.measures.iter().map(Measured::new).collect(),
        });
        Self {
            groups: groups.collect(),
            rows,
            times: vec![0; rows],
            values: (0..KEYS).map(|_| Values::default()).collect(),
            buckets: Default::default(),
            numbers: Vec::new(),
            pending: pending.collect(),
            cells_max: CELLS_MAX,
            given_up: None,
        }
    }

    /// As [`RollupBuilder::new`], with another bound than [`CELLS_MAX`].
    pub(crate) fn with_cells_max(row_groups: &[usize], cells_max: usize) -> Self {
        Self { cells_max, ..Self::new(row_groups) }
    }

    /// The next values of a column of a row group; others than [`COLUMNS`] are passed over. The keys of a row group come in the order
    /// of [`COLUMNS`], and before its measures; row groups come in any order, and as mixed as the caller likes.
    ///
    /// # Errors
    /// If a column has another type than records have.
    pub(crate) fn add(&mut self, row_group: usize, column: &str, values: &ArrayRef) -> Result<(), TableError> {
        let Some(at) = COLUMNS.iter().position(|name| *name == column) else { return Ok(()) };
        if self.given_up.is_some() || values.is_empty() {
            return Ok(());
        }
        let Some(group) = self.groups.get_mut(row_group) else {
            self.given_up = Some("there are more row groups than were announced");
            return Ok(());
        };
        let rows = group.rows.len();
        let keys_before = group.seen[..at.min(KEYS)].iter().all(|seen| *seen == rows);
        let from = group.seen[at];
        group.seen[at] += values.len();
        if !keys_before || group.seen[at] > rows {
            self.given_up = Some("its columns did not come in order");
            return Ok(());
        }
        let (all, is_complete) = (group.rows.clone(), group.seen[at] == rows);
        let these = all.start + from..all.start + from + values.len();
        match at {
            TIME => self.add_times(values, these),
            _ if at < KEYS => self.add_key(at, values, these),
            _ => self.add_measure(column, values, these),
        }?;
        if at < KEYS {
            self.bound_cells();
        }
        if at == KEYS - 1 && is_complete {
            self.enter_cells(all);
        }
        Ok(())
    }

    fn add_times(&mut self, values: &ArrayRef, these: Range<usize>) -> Result<(), TableError> {
        let times = values.as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| TableError::Schema("time is not in microseconds".to_owned()))?;
        let out_of_range = |time: &i64| time.div_euclid(Grain::Hour.us()).checked_mul(Grain::Hour.us()).is_none();
        if times.null_count() > 0 || times.values().iter().any(out_of_range) {
            self.given_up = Some("a row has no time");
            return Ok(());
        }
        self.times[these.clone()].copy_from_slice(times.values());
        for grain in [Grain::FiveMinutes, Grain::Hour] {
            let buckets = times.values().iter().map(|time| time.div_euclid(grain.us()) * grain.us());
            self.numbers.clear();
            self.buckets[grain_at(grain)].add_integers(buckets, &mut self.numbers);
            for pending in self.pending.iter_mut().filter(|pending| pending.rollup.grain == grain) {
                pending.cells.split(0, &mut pending.of_rows[these.clone()], &self.numbers);
            }
        }
        Ok(())
    }

    fn add_key(&mut self, at: usize, values: &ArrayRef, these: Range<usize>) -> Result<(), TableError> {
        self.numbers.clear();
        self.values[at].add(values, &mut self.numbers)?;
        for pending in &mut self.pending {
            if let Some(level) = level_of(pending.rollup, at) {
                pending.cells.split(level, &mut pending.of_rows[these.clone()], &self.numbers);
            }
        }
        Ok(())
    }

    /// Leaves out roll-ups with too many cells.
    fn bound_cells(&mut self) {
        let cells_max = self.cells_max;
        self.pending.retain(|pending| {
            let kept = pending.cells.most() <= cells_max;
            if !kept {
                tracing::info!(
                    name = pending.rollup.name,
                    cells_max,
                    "a data file has too many cells for this roll-up"
                );
            }
            kept
        });
    }

    /// After the last key of a row group: counts the rows of each cell, and adds their times.
    fn enter_cells(&mut self, these: Range<usize>) {
        let times = &self.times[these.clone()];
        for pending in &mut self.pending {
            pending.rows.resize(pending.cells.len(), 0);
            let of_rows = &pending.of_rows[these.clone()];
            of_rows.iter().for_each(|cell| pending.rows[*cell as usize] += 1);
            for measured in pending.measures.iter_mut().filter(|measured| measured.column() == COLUMNS[TIME]) {
                measured.add(of_rows, times.iter().map(|time| Some(*time)), pending.cells.len());
            }
        }
        if self.groups.iter().all(|group| group.seen[KEYS - 1] == group.rows.len()) {
            self.times = Vec::new();
        }
    }

    fn add_measure(&mut self, column: &str, values: &ArrayRef, these: Range<usize>) -> Result<(), TableError> {
        let integers = values.as_primitive_opt::<Int64Type>();
        let integers: &PrimitiveArray<Int64Type> =
            integers.ok_or_else(|| TableError::Schema(format!("{column} is not an Int64")))?;
        for pending in &mut self.pending {
            for measured in pending.measures.iter_mut().filter(|measured| measured.column() == column) {
                let cells = &pending.of_rows[these.clone()];
                measured.add(cells, integers.iter(), pending.cells.len());
            }
        }
        Ok(())
    }

    /// The cells of each roll-up that is made of rows, in the order of its file. A roll-up that would not be right, or not worth
    /// its bytes, is not among them.
    ///
    /// # Errors
    /// If cells do not fit the schema of their roll-up.
    pub(crate) fn finish(mut self) -> Result<Vec<(&'static Rollup, RecordBatch)>, TableError> {
        if self.groups.iter().any(|group| group.seen.iter().any(|seen| *seen != group.rows.len())) {
            self.given_up = self.given_up.or(Some("a column is not complete"));
        }
        if let Some(why) = self.given_up {
            tracing::warn!(why, "a data file gets no roll-ups; it will be scanned");
            return Ok(Vec::new());
        }
        let rows = self.rows;
        let mut finished = Vec::new();
        for pending in self.pending {
            let name = pending.rollup.name;
            let total: i64 = pending.rows.iter().sum();
            if total != rows as i64 {
                tracing::error!(name, total, rows, "a roll-up does not have the rows of its file, and is left out");
                continue;
            }
            if !pending.measures.iter().all(Measured::is_exact) {
                tracing::warn!(name, "a sum does not fit into 64 bits: a data file is left without this roll-up");
                continue;
            }
            let rollup = pending.rollup;
            finished.push((rollup, pending.finish(&self.values, &self.buckets)?));
        }
        Ok(finished)
    }
}

/// At which split of a roll-up's cells a key comes: after the bucket, in the order of [`COLUMNS`].
fn level_of(rollup: &Rollup, column: usize) -> Option<usize> {
    let is_key = |at: usize| rollup.keys.contains(&COLUMNS[at]);
    is_key(column).then(|| 1 + (0..column).filter(|at| is_key(*at)).count())
}

impl Pending {
    fn finish(self, values: &[Values], buckets: &[Values; 2]) -> Result<RecordBatch, TableError> {
        let (rollup, cells) = (self.rollup, self.cells.len());
        let numbers = self.cells.values();
        let schema = rollup.schema();
        let mut columns = vec![buckets[grain_at(rollup.grain)].array(&numbers[0], schema.field(0).data_type())?];
        for key in rollup.keys {
            let at = COLUMNS.iter().position(|column| column == key);
            let level = at.and_then(|at| Some((at, level_of(rollup, at)?)));
            let (at, level) = level.ok_or_else(|| TableError::Schema(format!("{key} is no key of roll-ups")))?;
            columns.push(values[at].array(&numbers[level], &data_type(key))?);
        }
        columns.push(Arc::new(Int64Array::from(self.rows)));
        columns.extend(self.measures.into_iter().flat_map(|measured| measured.columns(cells)));
        let batch = RecordBatch::try_new(schema, columns).map_err(TableError::rows("roll rows up"))?;
        sorted(rollup, &batch)
    }
}

/// The columns that the cells of a file are ordered by: the keys, then the bucket.
pub(super) fn order_of(rollup: &Rollup) -> impl Iterator<Item = &'static str> {
    rollup.keys.iter().copied().chain([BUCKET])
}

/// Brings the columns of the order into one comparable row a cell.
pub(super) fn converter(rollup: &Rollup) -> Result<RowConverter, TableError> {
    let schema = rollup.schema();
    let field = |name| schema.field_with_name(name).map_or(DataType::Null, |field| field.data_type().clone());
    let fields = order_of(rollup).map(|name| SortField::new(field(name))).collect();
    RowConverter::new(fields).map_err(TableError::rows("order the cells of a roll-up"))
}

fn sorted(rollup: &Rollup, batch: &RecordBatch) -> Result<RecordBatch, TableError> {
    let failed = TableError::rows("order the cells of a roll-up");
    let columns: Vec<ArrayRef> = order_of(rollup).filter_map(|name| batch.column_by_name(name).cloned()).collect();
    let rows = converter(rollup)?.convert_columns(&columns).map_err(&failed)?;
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_unstable_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    let order = UInt32Array::from(order);
    let columns = batch.columns().iter().map(|column| take(column, &order, None));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    RecordBatch::try_new(batch.schema(), columns).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_definitions() {
        let keys: Vec<_> = ROLLUPS.iter().flat_map(|rollup| rollup.keys).collect();
        assert!(COLUMNS[1..KEYS].iter().all(|column| keys.contains(&column)));
        assert!(keys.iter().all(|key| COLUMNS[1..KEYS].contains(*key)));
        let measures: Vec<_> = ROLLUPS.iter().flat_map(|rollup| rollup.measures).map(|m| m.column).collect();
        assert!(COLUMNS[KEYS..].iter().all(|column| measures.contains(column)));
        assert!(measures.iter().all(|column| *column == "time" || COLUMNS[KEYS..].contains(column)));
    }

    #[test]
    fn the_hours_of_services_are_made_of_their_five_minutes() {
        let coarser = |name| coarser_than(Rollup::named(name).unwrap()).map(|rollup| rollup.name);
        assert_eq!(coarser("service_1h"), Some("service_5m"));
        assert_eq!(from_rows().count(), 4);
    }
}
